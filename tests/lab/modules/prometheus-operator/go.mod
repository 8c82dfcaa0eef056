module smtpgateway.test/lab/prometheus-operator

go 1.24.0

// Not built: the definitions of its resources are read from the module (tests/chart/schemas.py).
require github.com/prometheus-operator/prometheus-operator v0.85.0
