{{/* Names begin with the chart's, so that they meet no other chart's in an umbrella. */}}

{{- define "countersign.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" }}
{{- end }}

{{- define "countersign.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" }}
{{- else if contains (include "countersign.name" .) .Release.Name }}
{{- .Release.Name | trunc 40 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "countersign.name" .) | trunc 40 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "countersign.serviceAccountName" -}}
{{- default (ternary (include "countersign.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name }}
{{- end }}

{{- define "countersign.selectorLabels" -}}
app.kubernetes.io/name: {{ include "countersign.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "countersign.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "countersign.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "countersign.image" -}}
{{- with .Values.image }}
{{- $tag := default $.Chart.AppVersion .tag }}
{{- $registry := ternary "" (printf "%s/" .registry) (empty .registry) }}
{{- printf "%s%s%s" $registry .repository (ternary (printf ":%s" $tag) (printf "@%s" .digest) (empty .digest)) }}
{{- end }}
{{- end }}

{{/* What the program is configured with: what was asked for, and what the chart knows better. */}}
{{- define "countersign.config" -}}
{{- $name := include "countersign.fullname" . }}
{{- $config := deepCopy .Values.config }}
{{- $_ := set $config "namespace" .Release.Namespace }}
{{- $_ := set $config "service" (dict "name" $name) }}
{{- if .Values.watchNamespaces }}
{{- $_ := set $config "watchNamespaces" .Values.watchNamespaces }}
{{- end }}
{{- if and (not $config.externalURLs) (ne (int .Values.service.port) 443) }}
{{- $_ := set $config "externalURLs" (list (printf "https://%s.%s.svc:%d" $name .Release.Namespace (int .Values.service.port))) }}
{{- end }}
{{- if not $config.distributionURL }}
{{- $port := int .Values.distributionService.port }}
{{- $host := printf "%s-distribution.%s.svc" $name .Release.Namespace }}
{{- $_ := set $config "distributionURL" (printf "http://%s%s" $host (ternary "" (printf ":%d" $port) (eq $port 80))) }}
{{- end }}
{{- toYaml $config }}
{{- end }}

{{/* What no schema can say. */}}
{{- define "countersign.refuse" -}}
{{- if eq .Release.Namespace "default" }}
{{- fail "Countersign keeps its keys, accounts and records in the namespace of the release: install it into one of its own, not into default" }}
{{- end }}
{{- if has .Release.Namespace .Values.watchNamespaces }}
{{- fail (printf "watchNamespaces: %s is the namespace of the operator itself, which serves it anyway" .Release.Namespace) }}
{{- end }}
{{- if and .Values.podDisruptionBudget.minAvailable .Values.podDisruptionBudget.maxUnavailable }}
{{- fail "podDisruptionBudget: minAvailable and maxUnavailable cannot both be given" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (empty .Values.serviceAccount.name) }}
{{- fail "serviceAccount.name is needed where serviceAccount.create is false" }}
{{- end }}
{{- end }}
