{{/* Name, namespace, labels and annotations of an object. Takes root, name and, where the object has
the labels of its part, component; labels and annotations are further ones. */}}
{{- define "vecguard.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- if .component }}
  {{- include "vecguard.selector" .component | nindent 2 }}
  {{- end }}
  helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
  app.kubernetes.io/managed-by: {{ .root.Release.Service }}
  {{- with merge (dict) (.labels | default dict) .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.annotations | default dict) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "vecguard.selector" -}}
app.kubernetes.io/name: vecguard
app.kubernetes.io/component: {{ . }}
{{- end }}

{{/* The settings that follow from the values. */}}
{{- define "vecguard.derived" -}}
{{- $values := .Values -}}
rootCoord:
  addresses:
  {{- range $index := until (int $values.rootCoord.replicas) }}
    - vecguard-root-coord-{{ $index }}.vecguard-root-coord:{{ int $values.config.rootCoord.port }}
  {{- end }}
{{- if ne $values.etcd.mode "existing" }}
etcd:
  endpoints:
  {{- range $index := until (int (include "vecguard.etcd.members" .)) }}
    - vecguard-etcd-{{ $index }}.vecguard-etcd:2379
  {{- end }}
{{- end }}
{{- if include "vecguard.etcd.clientSecret" . }}
{{ if eq $values.etcd.mode "existing" }}etcd:{{ end }}
  ssl:
    enabled: true
    tlsCert: /etc/vecguard/etcd/tls.crt
    tlsKey: /etc/vecguard/etcd/tls.key
    tlsCACert: /etc/vecguard/etcd/ca.crt
{{- end }}
{{- if $values.tls.enabled }}
common:
  security:
    tlsMode: 1
    internaltlsEnabled: true
tls:
  serverPemPath: /etc/vecguard/public/tls.crt
  serverKeyPath: /etc/vecguard/public/tls.key
  caPemPath: /etc/vecguard/{{ ternary "client-ca" "public" (ne $values.tls.clientCA.existingSecret "") }}/ca.crt
internaltls:
  caPemPath: /etc/vecguard/internal/ca.crt
  # Either side finds its own certificate at this path.
  serverPemPath: /etc/vecguard/internal/tls.crt
  serverKeyPath: /etc/vecguard/internal/tls.key
  clientPemPath: /etc/vecguard/internal/tls.crt
  clientKeyPath: /etc/vecguard/internal/tls.key
  sni: vecguard-root-coord
  allowedNames: [vecguard-proxy]
{{- end }}
{{- if $values.backend.tls.existingSecret }}
backend:
  tls:
    enabled: true
    caPemPath: /etc/vecguard/backend/ca.crt
    {{- if $values.backend.tls.clientCertificate }}
    clientPemPath: /etc/vecguard/backend/tls.crt
    clientKeyPath: /etc/vecguard/backend/tls.key
    {{- end }}
{{- end }}
{{- end }}

{{/* The file of settings. What is set in config overrides what follows from other values. */}}
{{- define "vecguard.settings" -}}
{{- mergeOverwrite (include "vecguard.derived" . | fromYaml) (deepCopy .Values.config) | toYaml }}
{{- end }}

{{/* Settings that the images have in their environment, where they would override the file. */}}
{{- define "vecguard.environment" -}}
{{- with dig "proxy" "operations" "ip" "" .Values.config }}
- name: VECGUARD__PROXY__OPERATIONS__IP
  value: {{ . | quote }}
{{- end }}
{{- with dig "rootCoord" "ip" "" .Values.config }}
- name: VECGUARD__ROOTCOORD__IP
  value: {{ . | quote }}
{{- end }}
{{- with dig "rootCoord" "operations" "ip" "" .Values.config }}
- name: VECGUARD__ROOTCOORD__OPERATIONS__IP
  value: {{ . | quote }}
{{- end }}
{{- end }}

{{/* The number of our own members of etcd. */}}
{{- define "vecguard.etcd.members" -}}
{{- get (dict "cluster" 3 "single" 1 "existing" 0) .Values.etcd.mode }}
{{- end }}

{{/* The Secret with root coord's certificate for etcd; empty without TLS. */}}
{{- define "vecguard.etcd.clientSecret" -}}
{{- if or (eq .Values.etcd.mode "cluster") (and (eq .Values.etcd.mode "existing") .Values.etcd.tls.enabled) }}
{{- .Values.etcd.tls.existingSecret | default "vecguard-root-coord-etcd-tls" }}
{{- end }}
{{- end }}

{{/* An image. Takes root, image and the tag to use without one. */}}
{{- define "vecguard.image" -}}
{{- $registry := .image.registry | default .root.Values.imageRegistry -}}
image: {{ with $registry }}{{ . }}/{{ end }}{{ .image.repository }}{{ if .image.digest }}@{{ .image.digest }}{{ else }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- with .image.pullPolicy }}
imagePullPolicy: {{ . }}
{{- end }}
{{- end }}

{{/* A pod's fields that all parts have. Takes root, component and values. */}}
{{- define "vecguard.pod" -}}
serviceAccountName: {{ .values.serviceAccount.name }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  - {{- toYaml (merge (dict) . (dict "labelSelector" (dict "matchLabels" (include "vecguard.selector" $.component | fromYaml)))) | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* Labels and annotations of a pod. Takes component, values and annotations. */}}
{{- define "vecguard.podMetadata" -}}
labels:
  {{- include "vecguard.selector" .component | nindent 2 }}
  {{- with .values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (dict) (.values.podAnnotations | default dict) (.annotations | default dict) }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Annotations by which Prometheus finds a pod without its operator. Takes the port. */}}
{{- define "vecguard.scrape" -}}
prometheus.io/scrape: "true"
prometheus.io/port: {{ . | quote }}
prometheus.io/path: /metrics
{{- end }}

{{- define "vecguard.serviceAccount" -}}
{{- if .values.serviceAccount.create }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  {{- include "vecguard.metadata" (dict "root" .root "name" .values.serviceAccount.name "annotations" .values.serviceAccount.annotations) | nindent 2 }}
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* A volume of a Secret; pods mount it whole, so that renewed files arrive. Takes name and secret. */}}
{{- define "vecguard.secretVolume" -}}
- name: {{ .name }}
  secret:
    secretName: {{ .secret }}
    defaultMode: 0440
{{- end }}

{{- define "vecguard.claim" -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- with .storageClassName }}
    storageClassName: {{ . }}
    {{- end }}
    resources:
      requests:
        storage: {{ .size }}
{{- end }}

{{/* A certificate that cert-manager makes and renews. Renewed more than 30 days before its end, so
that a warning about expiry means that renewal has failed. */}}
{{- define "vecguard.certificate" -}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "vecguard.metadata" (dict "root" .root "name" .name) | nindent 2 }}
spec:
  {{- with .commonName }}
  commonName: {{ . }}
  {{- end }}
  dnsNames:
    {{- toYaml .dnsNames | nindent 4 }}
  usages:
    - digital signature
    {{- toYaml .usages | nindent 4 }}
  secretName: {{ .secret | default (printf "%s-tls" .name) }}
  duration: 2160h
  renewBefore: 1080h
  privateKey: {algorithm: ECDSA, size: 256, rotationPolicy: Always}
  issuerRef:
    {{- toYaml .issuerRef | nindent 4 }}
{{- end }}

{{/* A CA that signs for one purpose. Takes root, name and the issuer that signs the CA itself. */}}
{{- define "vecguard.ca" -}}
---
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  {{- include "vecguard.metadata" (dict "root" .root "name" (printf "%s-ca" .name)) | nindent 2 }}
spec:
  isCA: true
  commonName: {{ .commonName }}
  secretName: {{ .name }}-ca
  duration: 87600h
  privateKey: {algorithm: ECDSA, size: 256}
  issuerRef: {name: {{ .issuer }}, kind: Issuer}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  {{- include "vecguard.metadata" (dict "root" .root "name" .name) | nindent 2 }}
spec:
  ca: {secretName: {{ .name }}-ca}
{{- end }}

{{- define "vecguard.selfSigned" -}}
---
apiVersion: cert-manager.io/v1
kind: Issuer
metadata:
  {{- include "vecguard.metadata" . | nindent 2 }}
spec:
  selfSigned: {}
{{- end }}
