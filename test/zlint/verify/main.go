// Verifies PEM chains (leaf first, root last) with Go's crypto/x509, the reader of most ACME clients and of Kubernetes itself.
// One line a chain that does not verify; the last line counts those that do.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	good := 0
	for _, file := range os.Args[1:] {
		if err := verify(file); err != nil {
			fmt.Printf("%s: %v\n", file, err)
		} else {
			good++
		}
	}
	fmt.Printf("verified %d\n", good)
}

func verify(file string) error {
	rest, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var chain []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return err
		}
		chain = append(chain, certificate)
	}
	if len(chain) < 2 {
		return fmt.Errorf("%d certificates", len(chain))
	}
	leaf, root := chain[0], chain[len(chain)-1]
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: leaf.ExtKeyUsage}
	options.Roots.AddCert(root)
	for _, certificate := range chain[1 : len(chain)-1] {
		options.Intermediates.AddCert(certificate)
	}
	if len(leaf.UnhandledCriticalExtensions) > 0 {
		return fmt.Errorf("unhandled %v", leaf.UnhandledCriticalExtensions)
	}
	names := leaf.DNSNames
	for _, address := range leaf.IPAddresses {
		names = append(names, address.String())
	}
	for _, name := range names {
		if name[0] == '*' {
			name = "x" + name[1:]
		}
		options.DNSName = name
		if _, err := leaf.Verify(options); err != nil {
			return err
		}
	}
	_, err = leaf.Verify(options)
	return err
}
