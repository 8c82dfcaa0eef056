"""The pods' admin ports behind a narrow port: `api` is the port, `tls` the real thing, `memory` its twin; `refreshing` has the nudges."""
