package api

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"strings"
	"testing"
	"unicode"
)

// subject is one as ASN.1, of attributes with values of any type.
func subject(t testing.TB, parts ...pkix.AttributeTypeAndValue) []byte {
	t.Helper()
	var name pkix.RDNSequence
	for _, p := range parts {
		name = append(name, pkix.RelativeDistinguishedNameSET{p})
	}
	raw, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

var (
	commonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	organization = asn1.ObjectIdentifier{2, 5, 4, 10}
)

func TestASubjectIsWrittenAsOpenSSLDoesAndOddOnesAreNobodys(t *testing.T) {
	of := func(id asn1.ObjectIdentifier, value any) pkix.AttributeTypeAndValue {
		return pkix.AttributeTypeAndValue{Type: id, Value: value}
	}
	raw := func(tag int, b string) asn1.RawValue { return asn1.RawValue{Tag: tag, Bytes: []byte(b)} }
	for want, parts := range map[string][][]pkix.AttributeTypeAndValue{
		// `openssl x509 -noout -subject -nameopt RFC2253` writes these so.
		"CN=alice,O=Example": {{of(organization, "Example"), of(commonName, "alice")},
			{of(organization, raw(asn1.TagPrintableString, "Example")), of(commonName, raw(asn1.TagIA5String, "alice"))},
			{of(organization, "Example"), of(commonName, raw(asn1.TagBMPString, "\x00a\x00l\x00i\x00c\x00e"))}},
		`CN=alice\,O\=Example`: nil,
		`CN=alice\,O=Example`:  {{of(commonName, "alice,O=Example")}},
		`CN=\ alice\ `:         {{of(commonName, " alice ")}},
		"": {{}, {of(commonName, 5)}, {of(commonName, "al\x00ice")}, {of(commonName, "alice\nO=Example")},
			{of(commonName, raw(asn1.TagUTF8String, "\xff\xfe"))}, {of(commonName, raw(28, "\x00\x00\x00a"))}, // UniversalString
			{of(commonName, raw(asn1.TagT61String, "\xe4lice\x07"))}, {of(commonName, strings.Repeat("x", maxSubject))},
			{of(commonName, []string{"alice"})}, {of(commonName, raw(asn1.TagOctetString, "alice"))}},
	} {
		for _, p := range parts {
			if got := subjectOf(subject(t, p...)); got != want {
				t.Errorf("%v: %q, want %q", p, got, want)
			}
		}
	}
	whole := subject(t, of(commonName, "alice"))
	for _, b := range [][]byte{nil, {}, whole[:len(whole)-1], append(whole[:len(whole):len(whole)], 0)} {
		if got := subjectOf(b); got != "" {
			t.Errorf("% x: %q", b, got)
		}
	}
}

func FuzzSubjects(f *testing.F) {
	f.Add(subject(f, pkix.AttributeTypeAndValue{Type: commonName, Value: "alice"},
		pkix.AttributeTypeAndValue{Type: organization, Value: "Example"}))
	f.Add(subject(f, pkix.AttributeTypeAndValue{Type: commonName, Value: 5}))
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, raw []byte) {
		if text := subjectOf(raw); len(text) > maxSubject || strings.ToValidUTF8(text, "") != text ||
			strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("% x: %q", raw, text)
		}
	})
}
