{{/* The traffic that a pod with a Tailscale sidecar needs. The kubelet's probes come from the node, to which network
     policies do not apply. */}}
{{- define "telltail.networkPolicy" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.networkPolicy.enabled -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "telltail.name" . }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "telltail.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "telltail.podLabels" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  ingress:
    {{- if $ts.agent.enabled }}
    - from:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: {{ $ts.networkPolicy.monitoringNamespace }}}
      # By number: some network plugins do not find the port names of init containers, which native sidecars are.
      ports: [{port: 8245, protocol: TCP}]
    {{- else }} []
    {{- end }}
  egress:
    # DNS at any address: a cache on the node has no namespace.
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    # WireGuard to peers, on any port, and STUN. Without it every packet goes over a DERP relay.
    - ports: [{protocol: UDP}]
    # The control plane and the DERP relays.
    - ports: [{port: 443, protocol: TCP}]
    {{- if $ts.egress.enabled }}
    # The operator's proxies: on the targets' ports, or for a ProxyGroup on ports that the operator chooses.
    - to:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: tailscale}
      ports:
        {{- if $ts.egress.proxyGroup }}
        - {port: 10000, endPort: 10999, protocol: TCP}
        {{- else }}
        {{- range (include "telltail.targets" . | fromYaml).targets }}
        - {port: {{ .port }}, protocol: TCP}
        {{- end }}
        {{- end }}
    {{- end }}
    {{- with $ts.networkPolicy.extraEgress }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}
{{- end }}
