// Package packaging holds what makes the Debian package and the image, and what is in
// them beside the binary. Of Go it has tests alone: they install the package in a
// Debian of its own with its own systemd, and run the image in a namespace.
package packaging
