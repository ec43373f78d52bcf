// xcryptoacme drives golang.org/x/crypto/acme against a directory: it obtains or revokes one certificate.
//
//	xcryptoacme -directory URL -ca FILE -account-key FILE -challenge http-01 -listen 127.0.0.1:5080 \
//	    -cert FILE -key FILE issue NAME_OR_ADDRESS...
//	xcryptoacme -directory URL -ca FILE -account-key FILE -cert FILE revoke
package main

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"

	"golang.org/x/crypto/acme"
)

type options struct {
	directory, caFile, accountKeyFile string
	challenge, listen, dnsURL         string
	certFile, keyFile                 string
	needLocation                      bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "xcryptoacme:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var o options
	flag.StringVar(&o.directory, "directory", "", "directory `URL`")
	flag.StringVar(&o.caFile, "ca", "", "PEM `file` of the CA that the directory's TLS certificate chains to")
	flag.StringVar(&o.accountKeyFile, "account-key", "", "PEM `file` of the account key, made where absent")
	flag.StringVar(&o.challenge, "challenge", "http-01", "challenge `type`: http-01, dns-01 or tls-alpn-01")
	flag.StringVar(&o.listen, "listen", "", "`address` to answer http-01 or tls-alpn-01 on")
	flag.StringVar(&o.dnsURL, "dns-url", "", "`URL` of the service that publishes TXT records: POST /present and /cleanup")
	flag.StringVar(&o.certFile, "cert", "", "PEM `file` of the chain, written by issue and read by revoke")
	flag.StringVar(&o.keyFile, "key", "", "PEM `file` of the certificate's key, written by issue")
	flag.BoolVar(&o.needLocation, "need-location", false, "finalize by CreateOrderCert, which polls the Location in the answer to finalize")
	flag.Parse()

	client, err := newClient(ctx, o)
	if err != nil {
		return err
	}
	switch flag.Arg(0) {
	case "issue":
		return issue(ctx, client, o, flag.Args()[1:])
	case "revoke":
		return revoke(ctx, client, o)
	default:
		return fmt.Errorf("say issue or revoke, not %q", flag.Arg(0))
	}
}

// newClient trusts only the given CA and registers the account, or finds it where the key has one.
func newClient(ctx context.Context, o options) (*acme.Client, error) {
	pool := x509.NewCertPool()
	ca, err := os.ReadFile(o.caFile)
	if err != nil {
		return nil, err
	}
	if !pool.AppendCertsFromPEM(ca) {
		return nil, fmt.Errorf("%s holds no certificate", o.caFile)
	}
	key, err := accountKey(o.accountKeyFile)
	if err != nil {
		return nil, err
	}
	client := &acme.Client{
		Key:          key,
		DirectoryURL: o.directory,
		HTTPClient:   &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
	}
	if _, err := client.Register(ctx, &acme.Account{}, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, fmt.Errorf("newAccount: %w", err)
	}
	return client, nil
}

func accountKey(file string) (crypto.Signer, error) {
	text, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return newKey(file)
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s is not PEM", file)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	return key.(crypto.Signer), nil
}

func newKey(file string) (crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return key, os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
}

func issue(ctx context.Context, client *acme.Client, o options, names []string) error {
	var ids []acme.AuthzID
	request := &x509.CertificateRequest{}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			ids = append(ids, acme.IPIDs(name)...)
			request.IPAddresses = append(request.IPAddresses, ip)
		} else {
			ids = append(ids, acme.DomainIDs(name)...)
			request.DNSNames = append(request.DNSNames, name)
		}
	}
	order, err := client.AuthorizeOrder(ctx, ids)
	if err != nil {
		return fmt.Errorf("newOrder: %w", err)
	}
	for _, url := range order.AuthzURLs {
		if err := authorize(ctx, client, o, url); err != nil {
			return err
		}
	}
	if order, err = client.WaitOrder(ctx, order.URI); err != nil {
		return fmt.Errorf("order: %w", err)
	}
	return finalize(ctx, client, o, order, request)
}

// authorize completes one authorization with the chosen challenge; a valid one needs nothing.
func authorize(ctx context.Context, client *acme.Client, o options, url string) error {
	authorization, err := client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	if authorization.Status == acme.StatusValid {
		return nil
	}
	for _, challenge := range authorization.Challenges {
		if challenge.Type != o.challenge {
			continue
		}
		cleanup, err := present(ctx, client, o, authorization.Identifier.Value, challenge.Token)
		if err != nil {
			return err
		}
		defer cleanup()
		if _, err := client.Accept(ctx, challenge); err != nil {
			return fmt.Errorf("challenge: %w", err)
		}
		_, err = client.WaitAuthorization(ctx, url)
		return err
	}
	return fmt.Errorf("%s is not offered for %s", o.challenge, authorization.Identifier.Value)
}

func finalize(ctx context.Context, client *acme.Client, o options, order *acme.Order, request *x509.CertificateRequest) error {
	key, err := newKey(o.keyFile)
	if err != nil {
		return err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return err
	}
	create := func() ([][]byte, string, error) { return client.CreateCertFromOrder(ctx, order, csr, true) }
	if o.needLocation {
		create = func() ([][]byte, string, error) { return client.CreateOrderCert(ctx, order.FinalizeURL, csr, true) }
	}
	_, url, err := create()
	if err != nil {
		return fmt.Errorf("finalize: %w", err)
	}
	// Fetched once more from its URL: what a client that lost the answer does.
	chain, err := client.FetchCert(ctx, url, true)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	var text []byte
	for _, der := range chain {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return os.WriteFile(o.certFile, text, 0o644)
}

// revoke prints "revoked"; x/crypto/acme reports alreadyRevoked as success, so the server is asked only once here.
func revoke(ctx context.Context, client *acme.Client, o options) error {
	text, err := os.ReadFile(o.certFile)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("%s is not PEM", o.certFile)
	}
	return client.RevokeCert(ctx, nil, block.Bytes, acme.CRLReasonSuperseded)
}
