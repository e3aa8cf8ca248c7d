// Package bmv2json reads the JSON that p4c's BMv2 back end writes
// (behavioral-model, docs/JSON_format.md, version 2.x) into plain types.
//
// It knows the form and nothing of its meaning: names are not resolved here.
// Parse never panics, whatever it is given; its errors name the section and
// the element.
package bmv2json
