module smtp-gateway/tests/clients/report

go 1.21
