package main

import (
	"fmt"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	podsecurity "k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"
)

const namespace = "rag-system"

// Pods of one kind.
type workload struct {
	kind, name string
	selector   *metav1.LabelSelector
	template   corev1.PodTemplateSpec
}

// Everything that a kustomization makes.
type objects struct {
	all       map[string]runtime.Object
	workloads []workload
	services  map[string]*corev1.Service
	configs   map[string]*corev1.ConfigMap
	accounts  map[string]*corev1.ServiceAccount
	scalers   []*autoscalingv2.HorizontalPodAutoscaler
	// Fewest pods of what KEDA scales.
	scaled     map[string]int32
	budgets    []*policyv1.PodDisruptionBudget
	policies   []*networkingv1.NetworkPolicy
	ingresses  []*networkingv1.Ingress
	namespaces []*corev1.Namespace
}

func newObjects() *objects {
	return &objects{
		all:      map[string]runtime.Object{},
		services: map[string]*corev1.Service{},
		configs:  map[string]*corev1.ConfigMap{},
		accounts: map[string]*corev1.ServiceAccount{},
		scaled:   map[string]int32{},
	}
}

func (o *objects) put(object runtime.Object, found *findings) {
	meta := object.(metav1.Object)
	kind := object.GetObjectKind().GroupVersionKind().Kind
	key := kind + "/" + meta.GetName()
	found.check(o.all[key] == nil, "%s is there twice", key)
	o.all[key] = object
	if kind != "Namespace" {
		found.check(meta.GetNamespace() == namespace, "%s is in the namespace `%s`", key, meta.GetNamespace())
	}
	switch object := object.(type) {
	case *appsv1.Deployment:
		o.workloads = append(o.workloads, workload{kind, object.Name, object.Spec.Selector, object.Spec.Template})
	case *appsv1.StatefulSet:
		o.workloads = append(o.workloads, workload{kind, object.Name, object.Spec.Selector, object.Spec.Template})
	case *batchv1.Job:
		o.workloads = append(o.workloads, workload{kind, object.Name, nil, object.Spec.Template})
	case *corev1.Service:
		o.services[object.Name] = object
	case *corev1.ConfigMap:
		o.configs[object.Name] = object
	case *corev1.ServiceAccount:
		o.accounts[object.Name] = object
	case *autoscalingv2.HorizontalPodAutoscaler:
		o.scalers = append(o.scalers, object)
	case *policyv1.PodDisruptionBudget:
		o.budgets = append(o.budgets, object)
	case *networkingv1.NetworkPolicy:
		o.policies = append(o.policies, object)
	case *networkingv1.Ingress:
		o.ingresses = append(o.ingresses, object)
	case *corev1.Namespace:
		o.namespaces = append(o.namespaces, object)
	case *corev1.Secret:
		found.add("%s: secrets do not belong into the tree", key)
	default:
		found.add("%s: a kind that this check does not know", key)
	}
}

func (o *objects) workload(kind, name string) *workload {
	for i := range o.workloads {
		if o.workloads[i].kind == kind && o.workloads[i].name == name {
			return &o.workloads[i]
		}
	}
	return nil
}

// What every pod must be like.
func (o *objects) checkWorkloads(found *findings, known map[string]bool, secrets map[string]map[string]bool, grace time.Duration) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks())
	if err != nil {
		found.add("%v", err)
		return
	}
	restricted := podsecurity.LevelVersion{Level: podsecurity.LevelRestricted, Version: podsecurity.LatestVersion()}
	for _, w := range o.workloads {
		name, spec := w.kind+"/"+w.name, w.template.Spec
		for _, result := range evaluator.EvaluatePod(restricted, &w.template.ObjectMeta, &spec) {
			found.check(result.Allowed, "%s: %s: %s", name, result.ForbiddenReason, result.ForbiddenDetail)
		}
		found.check(o.accounts[spec.ServiceAccountName] != nil, "%s: no ServiceAccount `%s`", name, spec.ServiceAccountName)
		found.check(isFalse(spec.AutomountServiceAccountToken), "%s mounts a token", name)
		found.check(isFalse(spec.EnableServiceLinks), "%s gets the variables of service links", name)
		if w.selector != nil {
			selector, err := metav1.LabelSelectorAsSelector(w.selector)
			found.check(err == nil && selector.Matches(labels.Set(w.template.Labels)), "%s does not select its own pods", name)
		}
		for _, volume := range spec.Volumes {
			o.checkVolume(found, name, volume, secrets)
		}
		for _, container := range spec.Containers {
			o.checkContainer(found, name, w, container, known, secrets, grace)
		}
	}
}

func (o *objects) checkContainer(found *findings, name string, w workload, container corev1.Container, known map[string]bool, secrets map[string]map[string]bool, grace time.Duration) {
	_, cpu := container.Resources.Requests[corev1.ResourceCPU]
	_, memory := container.Resources.Limits[corev1.ResourceMemory]
	found.check(cpu && memory, "%s: no processor is asked for, or memory is not limited", name)
	ours := strings.HasPrefix(container.Image, "touchstone")
	found.check(strings.Contains(container.Image, ":") || found.where == "k8s/base", "%s: the image has no tag", name)
	if ours {
		security := container.SecurityContext
		found.check(security != nil && isTrue(security.ReadOnlyRootFilesystem), "%s can write its root", name)
	}
	if w.kind == "Deployment" {
		found.check(container.StartupProbe != nil && container.ReadinessProbe != nil && container.LivenessProbe != nil, "%s lacks a probe", name)
		if container.Lifecycle == nil || container.Lifecycle.PreStop == nil || container.Lifecycle.PreStop.Sleep == nil {
			found.add("%s does not wait before it stops", name)
		} else if killed := w.template.Spec.TerminationGracePeriodSeconds; killed != nil {
			waits := time.Duration(container.Lifecycle.PreStop.Sleep.Seconds) * time.Second
			// What stops after its requests (relays, batches) has the grace once more.
			needed := waits + 2*grace
			found.check(time.Duration(*killed)*time.Second > needed, "%s is killed after %d s, it needs %s", name, *killed, needed)
			noticed := time.Duration(container.ReadinessProbe.PeriodSeconds) * time.Second
			found.check(waits >= 2*noticed, "%s stops %s after it is told, before its callers notice", name, waits)
		}
	}
	volumes := map[string]bool{}
	for _, volume := range w.template.Spec.Volumes {
		volumes[volume.Name] = true
	}
	if w.kind == "StatefulSet" {
		volumes["data"] = true
	}
	mounted := []string{}
	for _, mount := range container.VolumeMounts {
		found.check(volumes[mount.Name], "%s mounts `%s`, which is not there", name, mount.Name)
		mounted = append(mounted, mount.MountPath)
	}
	for _, from := range container.EnvFrom {
		if from.ConfigMapRef == nil {
			found.add("%s takes its environment from something that is no ConfigMap", name)
			continue
		}
		config := o.configs[from.ConfigMapRef.Name]
		found.check(config != nil, "%s: no ConfigMap `%s`", name, from.ConfigMapRef.Name)
		if config != nil && ours {
			for key := range config.Data {
				found.check(known[key], "%s: .env.example does not know `%s`", name, key)
			}
		}
	}
	for _, variable := range container.Env {
		if ours {
			plain := strings.TrimSuffix(variable.Name, "_FILE")
			found.check(known[variable.Name] || known[plain], "%s: .env.example does not know `%s`", name, variable.Name)
		}
		if strings.HasSuffix(variable.Name, "_FILE") {
			path := variable.Value
			in := false
			for _, directory := range mounted {
				in = in || strings.HasPrefix(path, directory+"/")
			}
			found.check(in, "%s: `%s` is in no volume", name, path)
			key := path[strings.LastIndex(path, "/")+1:]
			found.check(provides(w.template.Spec, key), "%s: no volume has the file `%s`", name, path)
		}
		if from := variable.ValueFrom; from != nil && from.ConfigMapKeyRef != nil {
			config := o.configs[from.ConfigMapKeyRef.Name]
			found.check(config != nil && config.Data[from.ConfigMapKeyRef.Key] != "", "%s: no `%s` in `%s`", name, from.ConfigMapKeyRef.Key, from.ConfigMapKeyRef.Name)
		}
		if from := variable.ValueFrom; from != nil && from.SecretKeyRef != nil {
			found.check(secrets[from.SecretKeyRef.Name][from.SecretKeyRef.Key], "%s: the template has no `%s` in `%s`", name, from.SecretKeyRef.Key, from.SecretKeyRef.Name)
		}
	}
}

// Whether a projected secret of the pod has a file of that name.
func provides(spec corev1.PodSpec, file string) bool {
	for _, volume := range spec.Volumes {
		if volume.Projected == nil {
			continue
		}
		for _, source := range volume.Projected.Sources {
			if source.Secret == nil {
				continue
			}
			for _, item := range source.Secret.Items {
				if item.Path == file {
					return true
				}
			}
		}
	}
	return false
}

func (o *objects) checkVolume(found *findings, name string, volume corev1.Volume, secrets map[string]map[string]bool) {
	if config := volume.ConfigMap; config != nil {
		found.check(o.configs[config.Name] != nil, "%s: no ConfigMap `%s`", name, config.Name)
	}
	if volume.Projected == nil {
		return
	}
	mode := volume.Projected.DefaultMode
	found.check(mode != nil && *mode == 0o440, "%s: `%s` does not have the mode 0440, so the process refuses it", name, volume.Name)
	for _, source := range volume.Projected.Sources {
		if source.Secret == nil {
			continue
		}
		found.check(len(source.Secret.Items) > 0, "%s mounts every secret", name)
		for _, item := range source.Secret.Items {
			found.check(secrets[source.Secret.Name][item.Key], "%s: the template has no `%s` in `%s`", name, item.Key, source.Secret.Name)
		}
	}
}

// What refers to something that must be there.
func (o *objects) checkReferences(found *findings) {
	for _, space := range o.namespaces {
		found.check(space.Labels["pod-security.kubernetes.io/enforce"] == "restricted", "the namespace does not enforce `restricted`")
	}
	found.check(len(o.namespaces) == 1, "%d namespaces", len(o.namespaces))
	for _, scaler := range o.scalers {
		target := scaler.Spec.ScaleTargetRef
		found.check(o.workload(target.Kind, target.Name) != nil, "HorizontalPodAutoscaler/%s: no %s/%s", scaler.Name, target.Kind, target.Name)
	}
	for _, budget := range o.budgets {
		found.check(len(o.selected(budget.Spec.Selector)) == 1, "PodDisruptionBudget/%s does not select one workload", budget.Name)
	}
	for _, service := range o.services {
		pods := o.selected(&metav1.LabelSelector{MatchLabels: service.Spec.Selector})
		found.check(len(pods) == 1, "Service/%s does not select one workload", service.Name)
		for _, port := range service.Spec.Ports {
			for _, w := range pods {
				found.check(w.listens(port.TargetPort.String(), port.Port), "Service/%s: %s has no port %s", service.Name, w.name, port.TargetPort.String())
			}
		}
	}
	for _, ingress := range o.ingresses {
		for _, rule := range ingress.Spec.Rules {
			for _, path := range rule.HTTP.Paths {
				found.check(o.services[path.Backend.Service.Name] != nil, "Ingress/%s: no Service `%s`", ingress.Name, path.Backend.Service.Name)
				for _, inside := range []string{"/metrics", "/live", "/ready"} {
					open := path.Path == inside || (path.PathType != nil && *path.PathType == networkingv1.PathTypePrefix && path.Path == "/")
					found.check(!open, "Ingress/%s: %s lets everybody at %s", ingress.Name, path.Path, inside)
				}
			}
		}
	}
}

func (o *objects) selected(selector *metav1.LabelSelector) []workload {
	chosen, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		return nil
	}
	var pods []workload
	for _, w := range o.workloads {
		if chosen.Matches(labels.Set(w.template.Labels)) {
			pods = append(pods, w)
		}
	}
	return pods
}

// Whether a container has the port, by name or number.
func (w *workload) listens(name string, number int32) bool {
	for _, container := range w.template.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == name && port.ContainerPort == number || fmt.Sprint(port.ContainerPort) == name {
				return true
			}
		}
	}
	return false
}

// The part of KEDA's object that is used; its types come with a whole operator.
type scaledObject struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		ScaleTargetRef  struct{ Name string } `json:"scaleTargetRef"`
		MinReplicaCount int                   `json:"minReplicaCount"`
		MaxReplicaCount int                   `json:"maxReplicaCount"`
		PollingInterval int                   `json:"pollingInterval"`
		CooldownPeriod  int                   `json:"cooldownPeriod"`
		Fallback        struct {
			FailureThreshold int `json:"failureThreshold"`
			Replicas         int `json:"replicas"`
		} `json:"fallback"`
		Advanced struct {
			HorizontalPodAutoscalerConfig struct {
				Behavior autoscalingv2.HorizontalPodAutoscalerBehavior `json:"behavior"`
			} `json:"horizontalPodAutoscalerConfig"`
		} `json:"advanced"`
		Triggers []struct {
			Type       string            `json:"type"`
			MetricType string            `json:"metricType"`
			Metadata   map[string]string `json:"metadata"`
		} `json:"triggers"`
	} `json:"spec"`
}

func (o *objects) checkScaledObject(text []byte, found *findings) {
	var object scaledObject
	if err := yaml.UnmarshalStrict(text, &object); err != nil {
		found.add("ScaledObject: %v", err)
		return
	}
	found.check(object.Namespace == namespace, "ScaledObject/%s is in the namespace `%s`", object.Name, object.Namespace)
	found.check(object.Spec.MinReplicaCount <= object.Spec.MaxReplicaCount, "ScaledObject/%s: fewer at most than at least", object.Name)
	o.scaled[object.Spec.ScaleTargetRef.Name] = int32(object.Spec.MinReplicaCount)
	found.check(len(object.Spec.Triggers) > 0, "ScaledObject/%s has no trigger", object.Name)
}

func isFalse(value *bool) bool { return value != nil && !*value }
func isTrue(value *bool) bool  { return value != nil && *value }
