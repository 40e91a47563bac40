{{/* The rule of whoever may read what Lanyard reads. No secret is among it. */}}
{{- define "lanyard.mayRead" -}}
- apiGroups: [lanyard.dev]
  resources: [accessapprovals, accessgrants, accesspolicies, agentidentities, credentialsources]
  verbs: [get, list, watch]
{{- end -}}
