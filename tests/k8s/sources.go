package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What the sources of the services say, so that the manifests are compared with it and not with a copy.
type sources struct {
	// Who calls whom.
	calls map[string][]string
	// How long a process gives its requests when it stops.
	grace time.Duration
	// How long the gateway lets a stream last.
	stream time.Duration
}

var client = regexp.MustCompile(`\b([A-Z][a-z]+)Client::new\(`)

func readSources(root string) (*sources, error) {
	read := &sources{calls: map[string][]string{}}
	deployments, err := filepath.Glob(filepath.Join(root, "k8s/base/services/*.yaml"))
	if err != nil {
		return nil, err
	}
	for _, deployment := range deployments {
		read.calls[strings.TrimSuffix(filepath.Base(deployment), ".yaml")] = nil
	}
	for service := range read.calls {
		// Everybody asks auth for keys and about tokens.
		called := map[string]bool{"auth": service != "auth"}
		err := filepath.WalkDir(filepath.Join(root, "services", folder(service), "src"), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(path) != ".rs" {
				return err
			}
			text, err := os.ReadFile(path)
			for _, found := range client.FindAllStringSubmatch(string(text), -1) {
				other := strings.ToLower(found[1])
				if _, known := read.calls[other]; known && other != service {
					called[other] = true
				}
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		for other := range called {
			if called[other] {
				read.calls[service] = append(read.calls[service], other)
			}
		}
	}
	// The gateway passes on to everybody.
	read.calls["gateway"] = nil
	for service := range read.calls {
		if service != "gateway" {
			read.calls["gateway"] = append(read.calls["gateway"], service)
		}
	}
	if len(read.calls) < 9 {
		return nil, fmt.Errorf("only %d services were found below k8s/base/services", len(read.calls))
	}
	if read.grace, err = setting(filepath.Join(root, "services/stack/config.default.toml"), "shutdown_grace"); err != nil {
		return nil, err
	}
	read.stream, err = setting(filepath.Join(root, "services/api-gateway/config.default.toml"), "longest")
	return read, err
}

// Where the sources of a service are.
func folder(service string) string {
	if service == "gateway" {
		return "api-gateway"
	}
	return service
}

// A duration of a file of defaults.
func setting(path, key string) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	found := regexp.MustCompile(`(?m)^` + key + ` = "([0-9]+)(ms|s|m|h)"`).FindStringSubmatch(string(text))
	if found == nil {
		return 0, fmt.Errorf("%s: no duration `%s`", path, key)
	}
	number, err := strconv.Atoi(found[1])
	if err != nil {
		return 0, err
	}
	units := map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour}
	return time.Duration(number) * units[found[2]], nil
}
