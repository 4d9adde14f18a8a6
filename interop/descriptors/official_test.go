package descriptors

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"

	gogo "github.com/gogo/protobuf/proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Files that only the older runtime knows. It cannot list them.
var gogoFiles = []string{
	"teleport/attestation/v1/attestation.proto",
	"teleport/legacy/client/proto/authservice.proto",
	"teleport/legacy/client/proto/certs.proto",
	"teleport/legacy/client/proto/joinservice.proto",
	"teleport/legacy/client/proto/proxyservice.proto",
	"teleport/legacy/types/device.proto",
	"teleport/legacy/types/events/athena.proto",
	"teleport/legacy/types/events/events.proto",
	"teleport/legacy/types/trusted_device_requirement.proto",
	"teleport/legacy/types/types.proto",
	"teleport/legacy/types/webauthn/webauthn.proto",
	"teleport/legacy/types/wrappers/wrappers.proto",
	"teleport/mfa/v1/mfa.proto",
	"teleport/usageevents/v1/usageevents.proto",
}

// official gathers what both runtimes know into one registry of its own.
func official(t *testing.T) (*protoregistry.Files, counts) {
	t.Helper()
	all := map[string]*descriptorpb.FileDescriptorProto{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(file.Path(), "teleport/") {
			all[file.Path()] = protodesc.ToFileDescriptorProto(file)
		}
		return true
	})
	for _, name := range gogoFiles {
		all[name] = gogoFile(t, name)
	}
	found := count(all)
	options := gogoFile(t, "gogo.proto")
	options.Name = proto.String("gogoproto/gogo.proto")
	options.Dependency = []string{"google/protobuf/descriptor.proto"}
	all["gogoproto/gogo.proto"] = options
	for again := true; again; {
		again = false
		for _, file := range all {
			for _, name := range file.GetDependency() {
				if _, there := all[name]; there {
					continue
				}
				known, err := protoregistry.GlobalFiles.FindFileByPath(name)
				if err != nil {
					t.Fatalf("%s imports %s, which nobody registers: %v", file.GetName(), name, err)
				}
				all[name] = protodesc.ToFileDescriptorProto(known)
				again = true
			}
		}
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range all {
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatalf("the official descriptors do not resolve: %v", err)
	}
	return files, found
}

func gogoFile(t *testing.T, name string) *descriptorpb.FileDescriptorProto {
	t.Helper()
	packed := gogo.FileDescriptor(name)
	if packed == nil {
		t.Fatalf("%s is not registered", name)
	}
	reader, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(reader)
	if err = errors.Join(err, reader.Close()); err != nil {
		t.Fatal(err)
	}
	file := &descriptorpb.FileDescriptorProto{}
	if err := proto.Unmarshal(raw, file); err != nil {
		t.Fatal(err)
	}
	return file
}

// counts tells one pin of the official module from another.
type counts struct{ Files, Messages, Fields, Enums, Values, Services, Methods int }

func count(files map[string]*descriptorpb.FileDescriptorProto) counts {
	found := counts{Files: len(files)}
	enums := func(list []*descriptorpb.EnumDescriptorProto) {
		for _, enum := range list {
			found.Enums++
			found.Values += len(enum.GetValue())
		}
	}
	var messages func(list []*descriptorpb.DescriptorProto)
	messages = func(list []*descriptorpb.DescriptorProto) {
		for _, message := range list {
			if message.GetOptions().GetMapEntry() {
				continue
			}
			found.Messages++
			found.Fields += len(message.GetField())
			enums(message.GetEnumType())
			messages(message.GetNestedType())
		}
	}
	for _, file := range files {
		messages(file.GetMessageType())
		enums(file.GetEnumType())
		for _, service := range file.GetService() {
			found.Services++
			found.Methods += len(service.GetMethod())
		}
	}
	return found
}
