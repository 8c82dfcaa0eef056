module smtpgateway.test/lab/cert-manager

go 1.24.0

// Not built: the definitions of its resources are read from the module (tests/support/cert_manager.py).
require github.com/cert-manager/cert-manager v1.21.2
