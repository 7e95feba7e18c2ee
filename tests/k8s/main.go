// Checks every kustomization below k8s/ without a cluster: it is built with kustomize's own library, every
// object is decoded strictly into the API's own types (an unknown or misplaced field is an error), every
// pod passes the check of the pod security level `restricted` that the API server would run, and what
// refers to something refers to something that is there. `go run .` in this folder; exit code 1 with a
// line per mistake.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
)

// What is built, and how many objects must come out of it at least: a run that sees nothing is no success.
var kustomizations = []struct {
	path     string
	least    int
	complete bool
}{
	{"k8s/base", 50, false},
	{"k8s", 80, true},
	{"k8s/overlays/trial", 80, true},
	{"k8s/overlays/production", 55, false},
	{"k8s/overlays/keda", 55, false},
}

// Problems of one kustomization.
type findings struct {
	where string
	lines []string
}

func (f *findings) add(format string, arguments ...any) {
	f.lines = append(f.lines, f.where+": "+fmt.Sprintf(format, arguments...))
}

func (f *findings) check(holds bool, format string, arguments ...any) {
	if !holds {
		f.add(format, arguments...)
	}
}

func main() {
	root, err := repository()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	known, err := knownVariables(filepath.Join(root, ".env.example"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	template, err := secretKeys(filepath.Join(root, "k8s/base/secrets.template.yaml"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	read, err := readSources(root)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var problems []string
	for _, kustomization := range kustomizations {
		found := &findings{where: kustomization.path}
		objects, foreign := build(filepath.Join(root, kustomization.path), found)
		count := len(objects.all) + foreign
		found.check(count >= kustomization.least, "has %d objects, fewer than %d", count, kustomization.least)
		objects.checkWorkloads(found, known, template, read.grace)
		objects.checkReferences(found)
		objects.checkNetwork(found, read.calls, kustomization.complete)
		if strings.HasPrefix(kustomization.path, "k8s/overlays") {
			objects.checkServers(found)
		}
		objects.checkAvailability(found)
		objects.checkStreams(found, read.stream)
		fmt.Printf("%-26s %3d objects, %d of foreign kinds, %d mistakes\n",
			kustomization.path, count, foreign, len(found.lines))
		problems = append(problems, found.lines...)
	}
	if len(problems) > 0 {
		sort.Strings(problems)
		fmt.Println(strings.Join(problems, "\n"))
		os.Exit(1)
	}
}

// The folder with k8s/, here or above.
func repository() (string, error) {
	directory, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(directory, "k8s", "kustomization.yaml")); missing == nil {
			return directory, nil
		}
		above := filepath.Dir(directory)
		if above == directory {
			return "", fmt.Errorf("no k8s/kustomization.yaml here or above")
		}
		directory = above
	}
	return "", err
}

func scheme() *runtime.Scheme {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, autoscalingv2.AddToScheme, batchv1.AddToScheme,
		corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
	} {
		if err := add(known); err != nil {
			panic(err)
		}
	}
	return known
}

// Builds a folder; returns its objects and the number of those whose kind the API does not have.
func build(path string, found *findings) (*objects, int) {
	all := newObjects()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), path)
	if err != nil {
		found.add("cannot be built: %v", err)
		return all, 0
	}
	decoder := serializer.NewCodecFactory(scheme(), serializer.EnableStrict).UniversalDeserializer()
	foreign := 0
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		if err != nil {
			found.add("%s: %v", resource.CurId(), err)
			continue
		}
		if resource.GetGvk().Group == "keda.sh" {
			foreign++
			all.checkScaledObject(text, found)
			continue
		}
		object, _, err := decoder.Decode(text, nil, nil)
		if err != nil {
			found.add("%s/%s: %v", resource.GetKind(), resource.GetName(), err)
			continue
		}
		all.put(object, found)
	}
	return all, foreign
}

// The names that `.env.example` explains.
func knownVariables(path string) (map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, line := range strings.Split(string(text), "\n") {
		name, _, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "#"), "=")
		if found && name == strings.ToUpper(name) && !strings.Contains(name, " ") {
			known[name] = true
		}
	}
	return known, nil
}

// The keys of each Secret in the template, which must have no values.
func secretKeys(path string) (map[string]map[string]bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	decoder := serializer.NewCodecFactory(scheme(), serializer.EnableStrict).UniversalDeserializer()
	keys := map[string]map[string]bool{}
	for _, document := range strings.Split(string(text), "\n---\n") {
		object, _, err := decoder.Decode([]byte(document), nil, nil)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		secret, ok := object.(*corev1.Secret)
		if !ok {
			return nil, fmt.Errorf("%s: something that is no Secret", path)
		}
		keys[secret.Name] = map[string]bool{}
		for key, value := range secret.StringData {
			if value != "" {
				return nil, fmt.Errorf("%s: `%s` has a value", path, key)
			}
			keys[secret.Name][key] = true
		}
	}
	return keys, nil
}
