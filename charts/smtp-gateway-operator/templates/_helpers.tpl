{{- define "operator.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 63 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 63 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "operator.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "operator.labels" -}}
{{ include "operator.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: operator
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* Only what tells the pod from others: a label that follows the chart's version would restart it without need. */ -}}
{{- define "operator.podLabels" -}}
{{ include "operator.selector" . }}
app.kubernetes.io/component: operator
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- with .Values.podLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* An image by its digest if it has one, which no tag can move, else by its tag. */ -}}
{{- define "operator.image" -}}
{{- if .image.digest }}{{ .image.repository }}@{{ .image.digest }}{{ else }}{{ .image.repository }}:{{ .image.tag | default .version }}{{ end }}
{{- end }}

{{- /* The namespaces served, as JSON under "namespaces", so that it can be read back with fromJson. */ -}}
{{- define "operator.namespaces" -}}
{{- dict "namespaces" (.Values.watchNamespaces | default (list .Release.Namespace)) | toJson -}}
{{- end }}

{{- /* What the operator does with the API, and nothing else: tests/cluster removes each rule and sees what breaks. */ -}}
{{- define "operator.rules" -}}
- {apiGroups: [smtpgateway.io], resources: [smtpgateways], verbs: [get, list, watch]}
- {apiGroups: [smtpgateway.io], resources: [smtpgateways/status], verbs: [patch]}
- {apiGroups: [smtpgateway.io], resources: [smtpgateways/finalizers], verbs: [update]}
- {apiGroups: [apps], resources: [statefulsets], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [policy], resources: [poddisruptionbudgets], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [""], resources: [services, serviceaccounts, secrets, configmaps], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [get, list, watch, create, patch, delete]}
- {apiGroups: [cert-manager.io], resources: [certificates], verbs: [get, list, create, patch, delete]}
- {apiGroups: [monitoring.coreos.com], resources: [podmonitors], verbs: [get, list, create, patch, delete]}
- {apiGroups: [""], resources: [pods], verbs: [list, watch, patch]}
- {apiGroups: [""], resources: [persistentvolumeclaims], verbs: [list, watch, patch]}
- {apiGroups: [""], resources: [events], verbs: [create]}
{{- end }}

{{- /* Whether a network that a listener trusts holds addresses of nodes or pods. Nodes are in no namespace. */ -}}
{{- define "operator.nodeRules" -}}
- {apiGroups: [""], resources: [nodes], verbs: [list]}
{{- end }}

{{- /* The Lease that keeps a second operator waiting; a creation cannot be limited to a name. */ -}}
{{- define "operator.leaseRules" -}}
- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [smtp-gateway-operator], verbs: [get, patch]}
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [create]}
{{- end }}
