module smtp-gateway/tests/clients

go 1.21
