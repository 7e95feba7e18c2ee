// A reverse proxy as one writes it with Gin: httputil.ReverseProxy behind a route for everything.
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/gin-gonic/gin"
)

func main() {
	if len(os.Args) != 3 {
		log.Fatal("usage: gin LISTEN UPSTREAM")
	}
	upstream, err := url.Parse("http://" + os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(upstream)
	// The default keeps two idle connections per host, which would measure connecting.
	proxy.Transport = &http.Transport{
		MaxIdleConns:        1024,
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
		DisableCompression:  true,
	}
	gin.SetMode(gin.ReleaseMode)
	router := gin.New()
	router.NoRoute(func(c *gin.Context) { proxy.ServeHTTP(c.Writer, c.Request) })
	log.Fatal(router.Run(os.Args[1]))
}
