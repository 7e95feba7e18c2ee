package main

import (
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Ports of the servers whose address is a secret.
var usual = map[string]int32{"DATABASE_URL": 5432, "REDIS_URL": 6379}

// Telegram burns a session that is used from two addresses at once: this service is one pod.
const alone = "telegram"

// Every server that a pod is told of may be reached from it, by a policy of its own or of several.
func (o *objects) checkServers(found *findings) {
	seen := 0
	for _, w := range o.workloads {
		for _, container := range w.template.Spec.Containers {
			for _, variable := range container.Env {
				for _, port := range o.dials(variable) {
					seen++
					found.check(o.mayDial(w, port), "%s/%s is told of `%s` and may not reach port %d", w.kind, w.name, variable.Name, port)
				}
			}
		}
	}
	found.check(seen >= 10, "only %d servers are dialled", seen)
}

// Ports that a pod with this variable dials.
func (o *objects) dials(variable corev1.EnvVar) []int32 {
	if port, ok := usual[strings.TrimSuffix(variable.Name, "_FILE")]; ok {
		return []int32{port}
	}
	from := variable.ValueFrom
	if from == nil || from.ConfigMapKeyRef == nil || o.configs[from.ConfigMapKeyRef.Name] == nil {
		return nil
	}
	value := o.configs[from.ConfigMapKeyRef.Name].Data[from.ConfigMapKeyRef.Key]
	var ports []int32
	for _, address := range strings.Split(value, ",") {
		if parsed, err := url.Parse(address); err == nil && parsed.Host != "" {
			address = parsed.Host
		}
		if _, port, err := net.SplitHostPort(address); err == nil {
			if number, err := strconv.ParseInt(port, 10, 32); err == nil {
				ports = append(ports, int32(number))
			}
		}
	}
	return ports
}

func (o *objects) mayDial(w workload, port int32) bool {
	for _, policy := range o.policies {
		selector, err := metav1.LabelSelectorAsSelector(&policy.Spec.PodSelector)
		if err != nil || selector.Empty() || !selector.Matches(labels.Set(w.template.Labels)) {
			continue
		}
		for _, rule := range policy.Spec.Egress {
			for _, open := range rule.Ports {
				if open.Port != nil && open.Port.IntVal == port {
					return true
				}
			}
		}
	}
	return false
}

// Every service has two pods at least, loses at most one at a time when nodes are emptied, and none when
// it is replaced.
func (o *objects) checkAvailability(found *findings) {
	for _, object := range o.all {
		deployment, ok := object.(*appsv1.Deployment)
		if !ok {
			continue
		}
		name := "Deployment/" + deployment.Name
		if deployment.Name == alone {
			one := deployment.Spec.Replicas != nil && *deployment.Spec.Replicas == 1
			found.check(one && deployment.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType, "%s is not one pod that goes before the next one comes", name)
			continue
		}
		rolling := deployment.Spec.Strategy.RollingUpdate
		found.check(rolling != nil && rolling.MaxUnavailable != nil && rolling.MaxUnavailable.IntValue() == 0, "%s has fewer pods while it is replaced", name)
		least := int32(0)
		for _, scaler := range o.scalers {
			if scaler.Spec.ScaleTargetRef.Name == deployment.Name && scaler.Spec.MinReplicas != nil {
				least = *scaler.Spec.MinReplicas
			}
		}
		if scaled, foreign := o.scaled[deployment.Name]; foreign {
			found.check(least == 0, "%s has two autoscalers", name)
			least = scaled
		}
		found.check(least >= 2, "%s has %d pods at least", name, least)
		found.check(deployment.Spec.Replicas == nil, "%s says how many pods there are, and so does its autoscaler", name)
		budgets := 0
		for _, budget := range o.budgets {
			selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
			if err == nil && selector.Matches(labels.Set(deployment.Spec.Template.Labels)) {
				budgets++
				loses := budget.Spec.MaxUnavailable != nil && budget.Spec.MaxUnavailable.IntValue() == 1
				found.check(loses, "PodDisruptionBudget/%s: not one at a time", budget.Name)
			}
		}
		found.check(budgets == 1, "%s has %d disruption budgets", name, budgets)
	}
}

// Events are not held back, and a silent stream lives as long as the gateway allows.
func (o *objects) checkStreams(found *findings, longest time.Duration) {
	for _, ingress := range o.ingresses {
		annotation := func(name string) string { return ingress.Annotations["nginx.ingress.kubernetes.io/"+name] }
		for _, buffering := range []string{"proxy-buffering", "proxy-request-buffering"} {
			found.check(annotation(buffering) == "off", "Ingress/%s: %s is not off", ingress.Name, buffering)
		}
		found.check(annotation("proxy-http-version") == "1.1", "Ingress/%s: no WebSocket can be opened", ingress.Name)
		seconds, err := strconv.Atoi(annotation("proxy-read-timeout"))
		patient := err == nil && time.Duration(seconds)*time.Second > longest
		found.check(patient, "Ingress/%s: proxy-read-timeout is not above the gateway's %s", ingress.Name, longest)
	}
}
