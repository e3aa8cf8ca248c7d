// Package config reads the configuration file of `p4evpn run`.
//
// It knows the file's shape and the rules that can be checked in the file
// alone; what the values mean is the business of the packages that they are
// handed to. Every error names the file, the line and the key.
//
//go:generate go test -run TestReferenceIsOfTheCode . -update
package config
