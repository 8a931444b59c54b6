{{/* Once per cluster, not per worker: they cover every telltail that Prometheus scrapes. Read from files and not rendered as
     templates: Prometheus and Grafana use braces of their own. */}}

{{- define "telltail.prometheusRule" -}}
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {{ .Release.Name }}
  namespace: {{ .Release.Namespace }}
  labels: {{- include "telltail.labels" . | nindent 4 }}
    {{- with .Values.rules.labels }}{{ toYaml . | nindent 4 }}{{ end }}
spec:
  {{- .Subcharts.telltail.Files.Get "files/dashboards/rules/telltail.rules.yaml" | nindent 2 }}
{{- end }}

{{- define "telltail.dashboards" -}}
{{- range $path, $_ := .Subcharts.telltail.Files.Glob "files/dashboards/*.json" }}
---
apiVersion: v1
kind: ConfigMap
metadata:
  name: grafana-dashboard-{{ base $path | trimSuffix ".json" }}
  namespace: {{ $.Release.Namespace }}
  labels: {{- include "telltail.labels" $ | nindent 4 }}
    {{- with $.Values.dashboards.labels }}{{ toYaml . | nindent 4 }}{{ end }}
data:
  {{ base $path }}: |
    {{- $.Subcharts.telltail.Files.Get $path | nindent 4 }}
{{- end }}
{{- end }}
