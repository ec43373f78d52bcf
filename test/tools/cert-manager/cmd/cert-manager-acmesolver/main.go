// Command cert-manager-acmesolver is what cert-manager's controllers run in a Pod to answer an http-01 challenge.
package main

import (
	"errors"
	"fmt"
	"net/http"
	"os"

	"github.com/spf13/pflag"
	"k8s.io/klog/v2"

	"github.com/cert-manager/cert-manager/pkg/issuer/acme/http/solver"
)

func main() {
	var s solver.HTTP01Solver
	pflag.IntVar(&s.ListenPort, "listen-port", 8089, "")
	pflag.StringVar(&s.Domain, "domain", "", "")
	pflag.StringVar(&s.Token, "token", "", "")
	pflag.StringVar(&s.Key, "key", "", "")
	pflag.Parse()
	if err := s.Listen(klog.Background()); err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
