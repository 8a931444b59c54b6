{{/* What a pod with a Tailscale sidecar needs. Probes of the kubelet come from the node, which network policies do not
     bind. */}}
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
      # By number: some network plugins find no port names of init containers, which native sidecars are.
      ports: [{port: 8245, protocol: TCP}]
    {{- else }} []
    {{- end }}
  egress:
    # DNS, wherever it is: a cache on the node has no namespace.
    - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]
    # WireGuard to peers, whose ports are anybody's, and STUN. Without it every packet goes over a DERP relay.
    - ports: [{protocol: UDP}]
    # The control plane and the DERP relays.
    - ports: [{port: 443, protocol: TCP}]
    {{- if $ts.egress.enabled }}
    # The operator's proxies: on the targets' ports, or, those of a ProxyGroup, on ports that the operator picks.
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
