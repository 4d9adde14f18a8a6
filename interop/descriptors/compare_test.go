// Package descriptors holds our schema against the official one: what we declare must be the same there.
package descriptors

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

const (
	oursPath       = "../../crates/api/src/gen/descriptors.bin"
	laterPath      = "later.txt"
	incompletePath = "incomplete.txt"
)

// What the pinned version holds. A new pin changes these numbers: look at what came with it, then write them here.
var pinned = counts{Files: 124, Messages: 1700, Fields: 5932, Enums: 108, Values: 479, Services: 47, Methods: 574}

// TestOursIsTheirs fails for everything we declare that the official module does not, or declares differently.
func TestOursIsTheirs(t *testing.T) {
	theirs, found := official(t)
	if found != pinned {
		t.Fatalf("the official module changed:\n  now    %+v\n  pinned %+v", found, pinned)
	}
	c := &comparison{theirs: theirs, later: list(t, laterPath), incomplete: list(t, incompletePath), used: map[string]bool{}}
	ours(t).RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if p := string(file.Package()); !strings.HasPrefix(p, "google.") && !strings.HasPrefix(p, "tessera.") {
			c.messages(file.Messages())
			c.enums(file.Enums())
			c.services(file.Services())
		}
		return true
	})
	for _, names := range []map[string]bool{c.later, c.incomplete} {
		for name := range names {
			if !c.used[name] {
				c.complain("%s is listed as an exception and is none", name)
			}
		}
	}
	sort.Strings(c.complaints)
	for _, complaint := range c.complaints {
		t.Error(complaint)
	}
	if c.messagesSeen < 350 || c.methodsSeen < 90 {
		t.Errorf("only %d messages and %d methods compared: the test lost its input", c.messagesSeen, c.methodsSeen)
	}
	t.Logf("compared %d messages, %d fields, %d methods", c.messagesSeen, c.fieldsSeen, c.methodsSeen)
}

type comparison struct {
	theirs                                *protoregistry.Files
	later, incomplete, used               map[string]bool
	complaints                            []string
	messagesSeen, fieldsSeen, methodsSeen int
}

func (c *comparison) complain(format string, arguments ...any) {
	c.complaints = append(c.complaints, fmt.Sprintf(format, arguments...))
}

// isLater reports whether the name is a known later addition.
func (c *comparison) isLater(name string) bool {
	if c.later[name] {
		c.used[name] = true
		return true
	}
	return false
}

func (c *comparison) find(name protoreflect.FullName) protoreflect.Descriptor {
	found, err := c.theirs.FindDescriptorByName(name)
	if err != nil {
		return nil
	}
	return found
}

func (c *comparison) messages(list protoreflect.MessageDescriptors) {
	for i := range list.Len() {
		ours := list.Get(i)
		if ours.IsMapEntry() || c.isLater(string(ours.FullName())) {
			continue
		}
		theirs, ok := c.find(ours.FullName()).(protoreflect.MessageDescriptor)
		if !ok {
			c.complain("message %s does not exist there", ours.FullName())
			continue
		}
		c.messagesSeen++
		c.message(ours, theirs)
		c.messages(ours.Messages())
		c.enums(ours.Enums())
	}
}

func (c *comparison) message(ours, theirs protoreflect.MessageDescriptor) {
	for i := range ours.Fields().Len() {
		field := ours.Fields().Get(i)
		key := fmt.Sprintf("%s %d", ours.FullName(), field.Number())
		there := theirs.Fields().ByNumber(field.Number())
		switch {
		case there == nil && c.isLater(key):
		case there == nil && theirs.ReservedRanges().Has(field.Number()):
			c.complain("%s (%s) is reserved there", key, field.Name())
		case there == nil:
			c.complain("%s (%s) does not exist there", key, field.Name())
		default:
			c.fieldsSeen++
			if a, b := shape(field), shape(there); a != b {
				c.complain("%s:\n  ours   %s\n  theirs %s", key, a, b)
			}
		}
	}
	for i := range theirs.Fields().Len() {
		field := theirs.Fields().Get(i)
		if ours.Fields().ByNumber(field.Number()) == nil {
			if name := string(ours.FullName()); c.incomplete[name] {
				c.used[name] = true
			} else {
				c.complain("%s lacks %d (%s)", name, field.Number(), field.Name())
			}
		}
	}
}

// shape is everything about a field that a peer can see.
func shape(field protoreflect.FieldDescriptor) string {
	parts := []string{string(field.Name()), field.Cardinality().String()}
	switch {
	case field.IsMap():
		parts = append(parts, "map", kind(field.MapKey()), kind(field.MapValue()))
	default:
		parts = append(parts, kind(field))
	}
	parts = append(parts, fmt.Sprintf("packed=%t presence=%t", field.IsPacked(), field.HasPresence()))
	if one := field.ContainingOneof(); one != nil && !one.IsSynthetic() {
		parts = append(parts, "oneof", string(one.Name()))
	}
	return strings.Join(parts, " ")
}

func kind(field protoreflect.FieldDescriptor) string {
	switch {
	case field.Enum() != nil:
		return "enum " + string(field.Enum().FullName())
	case field.Message() != nil:
		return "message " + string(field.Message().FullName())
	}
	return field.Kind().String()
}

func (c *comparison) enums(list protoreflect.EnumDescriptors) {
	for i := range list.Len() {
		ours := list.Get(i)
		if c.isLater(string(ours.FullName())) {
			continue
		}
		theirs, ok := c.find(ours.FullName()).(protoreflect.EnumDescriptor)
		if !ok {
			c.complain("enum %s does not exist there", ours.FullName())
			continue
		}
		for v := range ours.Values().Len() {
			value := ours.Values().Get(v)
			key := fmt.Sprintf("%s %d", ours.FullName(), value.Number())
			there := theirs.Values().ByNumber(value.Number())
			switch {
			case there == nil && c.isLater(key):
			case there == nil:
				c.complain("%s (%s) does not exist there", key, value.Name())
			case theirs.Values().ByName(value.Name()) == nil:
				c.complain("%s is %s, there %s", key, value.Name(), there.Name())
			}
		}
		for v := range theirs.Values().Len() {
			if value := theirs.Values().Get(v); ours.Values().ByNumber(value.Number()) == nil {
				c.complain("%s lacks %d (%s)", ours.FullName(), value.Number(), value.Name())
			}
		}
	}
}

func (c *comparison) services(list protoreflect.ServiceDescriptors) {
	for i := range list.Len() {
		service := list.Get(i)
		if c.isLater(string(service.FullName())) {
			continue
		}
		theirs, ok := c.find(service.FullName()).(protoreflect.ServiceDescriptor)
		if !ok {
			c.complain("service %s does not exist there", service.FullName())
			continue
		}
		for m := range service.Methods().Len() {
			method := service.Methods().Get(m)
			there := theirs.Methods().ByName(method.Name())
			switch {
			case there == nil && c.isLater(string(method.FullName())):
			case there == nil:
				c.complain("method %s does not exist there", method.FullName())
			default:
				c.methodsSeen++
				if a, b := signature(method), signature(there); a != b {
					c.complain("method %s:\n  ours   %s\n  theirs %s", method.FullName(), a, b)
				}
			}
		}
	}
}

func signature(method protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("%t %s > %t %s", method.IsStreamingClient(), method.Input().FullName(),
		method.IsStreamingServer(), method.Output().FullName())
}

func ours(t *testing.T) *protoregistry.Files {
	t.Helper()
	raw, err := os.ReadFile(oursPath)
	if err != nil {
		t.Fatal(err)
	}
	set := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal(raw, set); err != nil {
		t.Fatal(err)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		t.Fatalf("our descriptors do not resolve: %v", err)
	}
	return files
}

// list reads a file of names, one in a line; `Message: 1 2` stands for the numbers of that message.
func list(t *testing.T, path string) map[string]bool {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	names := map[string]bool{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		name, numbers, many := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case name == "":
		case many:
			for _, number := range strings.Fields(numbers) {
				names[name+" "+number] = true
			}
		default:
			names[name] = true
		}
	}
	return names
}
