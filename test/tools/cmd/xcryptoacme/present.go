package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/crypto/acme"
)

// present makes the answer to a challenge visible; what it returns takes the answer away.
func present(ctx context.Context, client *acme.Client, o options, name, token string) (func(), error) {
	switch o.challenge {
	case "http-01":
		return presentHTTP(client, o.listen, token)
	case "tls-alpn-01":
		return presentTLS(client, o.listen, name, token)
	case "dns-01":
		return presentDNS(ctx, client, o.dnsURL, name, token)
	default:
		return nil, fmt.Errorf("unknown challenge %q", o.challenge)
	}
}

// RFC 8555 section 8.3.
func presentHTTP(client *acme.Client, listen, token string) (func(), error) {
	answer, err := client.HTTP01ChallengeResponse(token)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc(client.HTTP01ChallengePath(token), func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, answer)
	})
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	server := &http.Server{Handler: mux}
	go server.Serve(listener)
	return func() { server.Close() }, nil
}

// RFC 8737 section 3, RFC 8738 section 6.
func presentTLS(client *acme.Client, listen, name, token string) (func(), error) {
	certificate, err := client.TLSALPN01ChallengeCert(token, name)
	if err != nil {
		return nil, err
	}
	listener, err := tls.Listen("tcp", listen, &tls.Config{
		Certificates: []tls.Certificate{certificate},
		NextProtos:   []string{acme.ALPNProto},
	})
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer connection.Close()
				_ = connection.(*tls.Conn).Handshake()
			}()
		}
	}()
	return func() { listener.Close() }, nil
}

// RFC 8555 section 8.4.
func presentDNS(ctx context.Context, client *acme.Client, url, name, token string) (func(), error) {
	value, err := client.DNS01ChallengeRecord(token)
	if err != nil {
		return nil, err
	}
	record, err := json.Marshal(map[string]string{"fqdn": "_acme-challenge." + name + ".", "value": value})
	if err != nil {
		return nil, err
	}
	if err := post(ctx, url+"/present", record); err != nil {
		return nil, err
	}
	return func() { _ = post(ctx, url+"/cleanup", record) }, nil
}

func post(ctx context.Context, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("POST %s: %s", url, response.Status)
	}
	return nil
}
