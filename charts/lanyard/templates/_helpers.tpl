{{/*
Each is called with (dict "root" . "part" PART), where PART is operator, authority, webhook or node-agent.
*/}}

{{/* The name of a part's objects. Fixed: a cluster has one Lanyard, and its parts find each other by it. */}}
{{- define "lanyard.name" -}}
lanyard-{{ .part }}
{{- end -}}

{{/* What finds the pods of a part. Never more than this: selectors cannot be changed. */}}
{{- define "lanyard.selectorLabels" -}}
app.kubernetes.io/name: lanyard
app.kubernetes.io/component: {{ .part }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end -}}

{{/* The labels of an object of a part. */}}
{{- define "lanyard.labels" -}}
{{- $own := dict
  "app.kubernetes.io/name" "lanyard"
  "app.kubernetes.io/component" .part
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/version" .root.Chart.AppVersion
  "app.kubernetes.io/managed-by" .root.Release.Service
  "app.kubernetes.io/part-of" "lanyard"
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version)
-}}
{{- toYaml (merge $own .root.Values.commonLabels) -}}
{{- end -}}

{{/*
The annotations of an object of a part, with the wave in which Argo CD applies it: (dict "root" . "wave" "0").
What nodes and people need first comes first: policies -5, the programs 0.
*/}}
{{- define "lanyard.annotations" -}}
{{- $own := dict "argocd.argoproj.io/sync-wave" (.wave | default "0") -}}
{{- toYaml (merge $own .root.Values.commonAnnotations) -}}
{{- end -}}

{{/* The image of a part, by digest where one is given. */}}
{{- define "lanyard.image" -}}
{{- $image := .root.Values.image -}}
{{- $name := printf "%s/lanyard/%s" $image.registry .part -}}
{{- $digest := get $image.digests .part -}}
{{- if $digest -}}
{{- printf "%s@%s" $name $digest -}}
{{- else -}}
{{- printf "%s:%s" $name ($image.tag | default .root.Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{/* The service account of a part. */}}
{{- define "lanyard.serviceAccountName" -}}
{{- include "lanyard.name" . -}}
{{- end -}}
