module tessera.example/interop/descriptors

go 1.22.7

require (
	github.com/gogo/protobuf v1.3.2
	github.com/gravitational/teleport/api v0.0.0-20250128104452-ecabf6b767ac
	google.golang.org/protobuf v1.36.4
)

require (
	github.com/beevik/etree v1.3.0 // indirect
	github.com/coreos/go-semver v0.3.1 // indirect
	github.com/go-piv/piv-go v1.11.0 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/gravitational/trace v1.4.0 // indirect
	github.com/jonboulle/clockwork v0.5.0 // indirect
	github.com/mattermost/xml-roundtrip-validator v0.1.0 // indirect
	github.com/russellhaering/gosaml2 v0.9.1 // indirect
	github.com/russellhaering/goxmldsig v1.4.0 // indirect
	golang.org/x/crypto v0.32.0 // indirect
	golang.org/x/exp v0.0.0-20250106191152-7588d65b2ba8 // indirect
	golang.org/x/net v0.34.0 // indirect
	golang.org/x/sys v0.29.0 // indirect
	golang.org/x/term v0.28.0 // indirect
	golang.org/x/text v0.21.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20250102185135-69823020774d // indirect
	google.golang.org/grpc v1.69.2 // indirect
)
