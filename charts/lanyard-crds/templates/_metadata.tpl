{{/* The annotations of a definition. */}}
{{- define "lanyard-crds.annotations" -}}
{{- $own := dict -}}
{{- if .Values.keep -}}
{{- $own = dict "helm.sh/resource-policy" "keep" -}}
{{- end -}}
{{- toYaml (merge $own .Values.annotations) -}}
{{- end -}}

{{/* The labels of a definition. */}}
{{- define "lanyard-crds.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "lanyard"
  "app.kubernetes.io/component" "crds"
  "app.kubernetes.io/instance" .Release.Name
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version)
-}}
{{- toYaml (merge $own .Values.labels) -}}
{{- end -}}
