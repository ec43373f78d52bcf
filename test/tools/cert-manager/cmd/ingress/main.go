// Command ingress is an ingress controller of the plainest kind: a proxy of HTTP on :8080 that sends a request to the Service which the
// Ingresses of one class name for its host and path. It is of this module for client-go.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	networking "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	listers "k8s.io/client-go/listers/networking/v1"
	"k8s.io/client-go/rest"
)

type router struct {
	class     string
	ingresses listers.IngressLister
}

// backend gives the address of the Service with the longest path that fits; nil where no Ingress has the host and path.
func (r *router) backend(host, path string) *url.URL {
	all, err := r.ingresses.List(labels.Everything())
	if err != nil {
		return nil
	}
	var found *url.URL
	longest := -1
	for _, each := range all {
		if each.Spec.IngressClassName == nil || *each.Spec.IngressClassName != r.class {
			continue
		}
		for _, rule := range each.Spec.Rules {
			if rule.Host != host || rule.HTTP == nil {
				continue
			}
			for _, p := range rule.HTTP.Paths {
				if fits(p, path) && len(p.Path) > longest && p.Backend.Service != nil {
					longest = len(p.Path)
					service := p.Backend.Service
					address := fmt.Sprintf("%s.%s.svc:%d", service.Name, each.Namespace, service.Port.Number)
					found = &url.URL{Scheme: "http", Host: address}
				}
			}
		}
	}
	return found
}

func fits(rule networking.HTTPIngressPath, path string) bool {
	if rule.PathType != nil && *rule.PathType == networking.PathTypeExact {
		return rule.Path == path
	}
	return strings.HasPrefix(path+"/", strings.TrimSuffix(rule.Path, "/")+"/")
}

func (r *router) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	host := request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	target := r.backend(host, request.URL.Path)
	if target == nil {
		http.NotFound(w, request)
		return
	}
	proxy := httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(target)
		p.SetXForwarded()
		p.Out.Host = p.In.Host
	}}
	proxy.ServeHTTP(w, request)
}

func main() {
	class := flag.String("class", "public", "name of the IngressClass")
	flag.Parse()
	config, err := rest.InClusterConfig()
	if err != nil {
		log.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(kubernetes.NewForConfigOrDie(config), 0)
	r := &router{class: *class, ingresses: factory.Networking().V1().Ingresses().Lister()}
	factory.Start(context.Background().Done())
	factory.WaitForCacheSync(context.Background().Done())
	log.Fatal(http.ListenAndServe(":8080", r))
}
