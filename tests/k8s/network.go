package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// A way from one workload to a port of another.
type way struct {
	from, to string
	port     int32
}

// Everything is denied both ways, every way is allowed at both of its ends, and the ways among services
// are exactly those that they use.
func (o *objects) checkNetwork(found *findings, calls map[string][]string, complete bool) {
	denied := false
	out, in := map[way]bool{}, map[way]bool{}
	for _, policy := range o.policies {
		everybody := len(policy.Spec.PodSelector.MatchLabels)+len(policy.Spec.PodSelector.MatchExpressions) == 0
		if everybody && len(policy.Spec.Ingress)+len(policy.Spec.Egress) == 0 && len(policy.Spec.PolicyTypes) == 2 {
			denied = true
		}
		pods := o.selected(&policy.Spec.PodSelector)
		found.check(len(pods) > 0, "NetworkPolicy/%s selects nothing", policy.Name)
		for _, rule := range policy.Spec.Egress {
			found.check(len(rule.To) > 0 && len(rule.Ports) > 0, "NetworkPolicy/%s lets out everywhere", policy.Name)
			for _, peer := range rule.To {
				o.ways(found, policy, pods, peer, rule.Ports, func(own, other string, port int32) { out[way{own, other, port}] = true })
			}
		}
		for _, rule := range policy.Spec.Ingress {
			found.check(len(rule.From) > 0 && len(rule.Ports) > 0, "NetworkPolicy/%s lets in everybody", policy.Name)
			for _, peer := range rule.From {
				o.ways(found, policy, pods, peer, rule.Ports, func(own, other string, port int32) { in[way{other, own, port}] = true })
			}
		}
	}
	found.check(denied, "no NetworkPolicy denies everything both ways")
	for path := range out {
		found.check(in[path], "%s may call %s:%d, which does not let it in", path.from, path.to, path.port)
		target := o.byName(path.to)
		found.check(target != nil && target.listens(fmt.Sprint(path.port), path.port), "%s may call %s:%d, where nothing listens", path.from, path.to, path.port)
	}
	for path := range in {
		// Without the servers of the trial their callers come from elsewhere.
		found.check(out[path], "%s:%d lets in %s, which is not let out", path.to, path.port, path.from)
	}
	expected := map[[2]string]bool{}
	for from, targets := range calls {
		for _, to := range targets {
			expected[[2]string{from, to}] = true
		}
	}
	seen := map[[2]string]bool{}
	for path := range out {
		pair := [2]string{path.from, path.to}
		seen[pair] = true
		if _, service := calls[path.to]; service {
			found.check(expected[pair], "%s may call %s and has no reason to", path.from, path.to)
		}
	}
	for pair := range expected {
		found.check(seen[pair], "%s calls %s and may not", pair[0], pair[1])
	}
	if complete {
		for _, server := range []string{"postgres", "redis", "kafka", "qdrant", "clickhouse"} {
			reached := false
			for path := range out {
				reached = reached || path.to == server
			}
			found.check(reached, "nothing may call %s", server)
		}
	}
}

func (o *objects) byName(name string) *workload {
	for i := range o.workloads {
		if o.workloads[i].name == name {
			return &o.workloads[i]
		}
	}
	return nil
}

// Tells every way that a rule opens inside the namespace; other namespaces and networks have no other end
// here.
func (o *objects) ways(found *findings, policy *networkingv1.NetworkPolicy, pods []workload, peer networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, tell func(own, other string, port int32)) {
	if peer.NamespaceSelector != nil || peer.IPBlock != nil {
		return
	}
	selector, err := metav1.LabelSelectorAsSelector(peer.PodSelector)
	if err != nil || selector.Empty() {
		found.add("NetworkPolicy/%s opens to every pod", policy.Name)
		return
	}
	matched := false
	for _, other := range o.workloads {
		if !selector.Matches(labels.Set(other.template.Labels)) {
			continue
		}
		matched = true
		for _, own := range pods {
			for _, port := range ports {
				tcp := port.Protocol != nil && *port.Protocol == corev1.ProtocolTCP
				found.check(tcp && port.Port != nil && port.EndPort == nil, "NetworkPolicy/%s: a port that is no single TCP port", policy.Name)
				if port.Port != nil {
					tell(own.name, other.name, port.Port.IntVal)
				}
			}
		}
	}
	found.check(matched, "NetworkPolicy/%s names a peer that is not there", policy.Name)
}
