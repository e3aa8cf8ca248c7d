package api

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// openAPIPath is where the document of what REST has is served.
const openAPIPath = "/openapi.json"

// object is a value of JSON.
type object = map[string]any

// openAPI describes routes, and what messages look like in JSON, by OpenAPI 3.0.3.
func openAPI(routes []httpRoute) object {
	schemas := schemas{"Error": object{
		"type": "object", "description": "google.rpc.Status: what went wrong",
		"properties": object{"code": jsonInteger, "message": jsonText,
			"details": object{"type": "array", "items": object{"type": "object"}}},
	}}
	paths := map[string]object{
		"/healthz": {"get": object{"operationId": "Health", "tags": []string{"Health"},
			"parameters": []object{parameter("query", "service", jsonText, false)},
			"responses":  answers("200", object{"type": "object", "properties": object{"status": jsonText}})}},
		openAPIPath: {"get": object{"operationId": "OpenAPI", "tags": []string{"Health"},
			"responses": answers("200", object{"type": "object"})}},
	}
	for _, r := range routes {
		path, _ := r.path()
		if paths[path] == nil {
			paths[path] = object{}
		}
		paths[path][strings.ToLower(r.verb)] = schemas.operation(r)
	}
	return object{
		"openapi": "3.0.3",
		"info": object{"title": "p4evpn", "version": "v1", "description": "The OPI EVPN GW API below /v1, and p4evpn.v1. " +
			"Every GET is a HEAD too. What is wrong with a request is an Error that names the field."},
		"paths": paths, "components": object{"schemas": schemas},
	}
}

var (
	jsonText    = object{"type": "string"}
	jsonInteger = object{"type": "integer", "format": "int32"}
)

func answers(code string, schema object) object {
	content := func(schema object) object { return object{"application/json": object{"schema": schema}} }
	return object{
		code:      object{"description": "OK", "content": content(schema)},
		"default": object{"description": "what went wrong", "content": content(reference("Error"))},
	}
}

func reference(name string) object { return object{"$ref": "#/components/schemas/" + name} }

func parameter(in, name string, schema object, required bool) object {
	return object{"in": in, "name": name, "schema": schema, "required": required}
}

// schemas are those of messages, by their full names.
type schemas map[string]object

func (s schemas) operation(r httpRoute) object {
	o := object{
		"operationId": string(r.method.Parent().Name()) + "_" + string(r.method.Name()),
		"tags":        []string{string(r.method.Parent().Name())},
		"responses":   answers("200", s.of(r.method.Output())),
	}
	_, inPath := r.path()
	inPath, _, _ = strings.Cut(inPath, ".")
	var parameters []object
	if inPath != "" {
		parameters = append(parameters, parameter("path", "id", jsonText, true))
	}
	fields := r.method.Input().Fields()
	for i := range fields.Len() {
		switch f := fields.Get(i); string(f.Name()) {
		case r.body:
			o["requestBody"] = object{"required": true, "content": object{"application/json": object{"schema": s.field(f)}}}
		case inPath:
		default:
			if r.body != "*" {
				parameters = append(parameters, parameter("query", string(f.Name()), s.field(f), false))
			}
		}
	}
	if r.body == "*" {
		o["requestBody"] = object{"content": object{"application/json": object{"schema": s.of(r.method.Input())}}}
	}
	if parameters != nil {
		o["parameters"] = parameters
	}
	return o
}

// wellKnown are the messages that have a JSON of their own.
var wellKnown = map[protoreflect.FullName]object{
	"google.protobuf.Duration":  {"type": "string", "example": "1.5s"},
	"google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
	"google.protobuf.FieldMask": {"type": "string", "example": "spec.vni,spec.vlanId"},
	"google.protobuf.Empty":     {"type": "object", "properties": object{}},
}

// of refers to a message's schema, which it makes.
func (s schemas) of(m protoreflect.MessageDescriptor) object {
	if known, ok := wellKnown[m.FullName()]; ok {
		return known
	}
	name := string(m.FullName())
	if s[name] == nil {
		properties := object{}
		s[name] = object{"type": "object", "properties": properties} // first, for it may hold itself
		for i := range m.Fields().Len() {
			f := m.Fields().Get(i)
			properties[f.JSONName()] = s.field(f)
		}
	}
	return reference(name)
}

func (s schemas) field(f protoreflect.FieldDescriptor) object {
	if f.IsMap() {
		return object{"type": "object", "additionalProperties": s.one(f.MapValue())}
	}
	if f.IsList() {
		return object{"type": "array", "items": s.one(f)}
	}
	return s.one(f)
}

// kinds are the scalars of protobuf's JSON.
var kinds = map[protoreflect.Kind]object{
	protoreflect.BoolKind:   {"type": "boolean"},
	protoreflect.StringKind: jsonText,
	protoreflect.BytesKind:  {"type": "string", "format": "byte"},
	protoreflect.Int32Kind:  jsonInteger, protoreflect.Sint32Kind: jsonInteger, protoreflect.Sfixed32Kind: jsonInteger,
	protoreflect.Uint32Kind:   {"type": "integer", "format": "int64", "minimum": 0, "maximum": 1<<32 - 1},
	protoreflect.Fixed32Kind:  {"type": "integer", "format": "int64", "minimum": 0, "maximum": 1<<32 - 1},
	protoreflect.Int64Kind:    {"type": "string", "format": "int64"},
	protoreflect.Sint64Kind:   {"type": "string", "format": "int64"},
	protoreflect.Sfixed64Kind: {"type": "string", "format": "int64"},
	protoreflect.Uint64Kind:   {"type": "string", "format": "uint64"},
	protoreflect.Fixed64Kind:  {"type": "string", "format": "uint64"},
	protoreflect.FloatKind:    {"type": "number"}, protoreflect.DoubleKind: {"type": "number"},
}

// one is the schema of a field's value. A message that is not set is null in answers.
func (s schemas) one(f protoreflect.FieldDescriptor) object {
	var schema object
	switch {
	case f.Message() != nil:
		schema = s.of(f.Message())
	case f.Enum() != nil:
		var names []string
		for i := range f.Enum().Values().Len() {
			names = append(names, string(f.Enum().Values().Get(i).Name()))
		}
		schema = object{"type": "string", "enum": names}
	default:
		schema = kinds[f.Kind()]
	}
	if f.HasPresence() && !f.IsList() {
		schema = nullable(schema)
	}
	return schema
}

// nullable is a schema or null; beside a $ref nothing else counts.
func nullable(schema object) object {
	if schema["$ref"] != nil {
		return object{"allOf": []object{schema}, "nullable": true}
	}
	out := maps.Clone(schema)
	out["nullable"] = true
	if names, ok := out["enum"].([]string); ok {
		out["enum"] = slices.Clone(names)
	}
	return out
}
