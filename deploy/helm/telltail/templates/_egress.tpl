{{/* A Service for each target, for which the Tailscale operator creates a proxy to the node of that name. */}}
{{- define "telltail.egress" -}}
{{- $ts := .Values.worker.tailscale -}}
{{- if and $ts.enabled $ts.egress.enabled -}}
{{- range (include "telltail.targets" . | fromYaml).targets }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ .name }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "telltail.labels" $ | nindent 4 }}
  annotations:
    tailscale.com/tailnet-fqdn: {{ .name }}.{{ $ts.tailnet }}
    {{- if $ts.egress.proxyGroup }}
    tailscale.com/proxy-group: {{ $ts.egress.proxyGroup }}
    {{- else if $ts.tags }}
    tailscale.com/tags: {{ join "," $ts.tags }}
    {{- end }}
spec:
  type: ExternalName
  # The operator replaces this with the name of its proxy.
  externalName: placeholder
  ports: [{port: {{ .port }}, protocol: TCP}]
{{- end }}
{{- end }}
{{- end }}
