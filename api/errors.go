package api

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"

	"github.com/p4evpn/p4evpn/controller/intent"
)

// Statuses travel in HTTP/2 trailers, of which some clients take 8 kB only: more
// broken rules and longer texts than this are cut.
const (
	maxViolations = 20
	maxMessage    = 2000
)

// badField is the error for one wrong field of a request, by its full path.
func badField(field, problem string) error {
	problem = clip(problem)
	return withDetails(codes.InvalidArgument, field+": "+problem,
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field,
			Description: problem}}})
}

var codeOf = map[intent.Reason]codes.Code{
	intent.Invalid:   codes.InvalidArgument,
	intent.NotFound:  codes.NotFound,
	intent.Exists:    codes.AlreadyExists,
	intent.Conflict:  codes.FailedPrecondition,
	intent.Exhausted: codes.ResourceExhausted,
}

// statusOf turns an error of the store into a gRPC status: a broken rule has
// its code and names the fields, in the message and in the details.
func statusOf(n naming, err error) error {
	var rule *intent.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &rule):
		return ruleStatus(n, rule)
	case errors.Is(err, syscall.ENOSPC):
		return status.Error(codes.ResourceExhausted, err.Error())
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	return status.Error(codes.Internal, err.Error())
}

func ruleStatus(n naming, e *intent.Error) error {
	var (
		problems []string
		bad      = &errdetails.BadRequest{}
		failed   = &errdetails.PreconditionFailure{}
	)
	for i, v := range e.Violations {
		if i == maxViolations {
			problems = append(problems, fmt.Sprintf("and %d more", len(e.Violations)-i))
			break
		}
		field := n.path(v.Field)
		if field == "" {
			problems = append(problems, v.Problem)
		} else {
			problems = append(problems, field+": "+v.Problem)
			bad.FieldViolations = append(bad.FieldViolations,
				&errdetails.BadRequest_FieldViolation{Field: field, Description: v.Problem})
		}
		if e.Reason == intent.Conflict {
			failed.Violations = append(failed.Violations, &errdetails.PreconditionFailure_Violation{
				Type: "CONFLICT", Subject: resourceName(v.Subject), Description: v.Problem})
		}
	}
	var details []protoadapt.MessageV1
	if bad.FieldViolations != nil {
		details = append(details, bad)
	}
	if failed.Violations != nil {
		details = append(details, failed)
	}
	if (e.Reason == intent.NotFound || e.Reason == intent.Exists) && e.Object.ID != "" {
		details = append(details, &errdetails.ResourceInfo{ResourceType: n.typeName, ResourceName: resourceName(e.Object)})
	}
	return withDetails(codeOf[e.Reason], e.Object.String()+": "+strings.Join(problems, "; "), details...)
}

// path gives the request's path of a field of an object: "vni" becomes
// "logical_bridge.spec.vni".
func (n naming) path(field string) string {
	switch field {
	case "":
		return ""
	case "id":
		return n.field + "_id"
	case "spec":
		return n.field + ".spec"
	}
	return n.field + ".spec." + field
}

func resourceName(r intent.Ref) string {
	if n, ok := namings[r.Kind]; ok {
		return n.name(r.ID)
	}
	return ""
}

// withDetails builds a status.
func withDetails(code codes.Code, msg string, details ...protoadapt.MessageV1) error {
	st := status.New(code, clip(msg))
	if with, err := st.WithDetails(details...); err == nil {
		st = with
	}
	return st.Err()
}

// clip bounds a text and makes it valid UTF-8, as gRPC wants it.
func clip(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage] + "..."
	}
	return strings.ToValidUTF8(s, "?")
}
