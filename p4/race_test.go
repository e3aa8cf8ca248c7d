//go:build race

package p4_test

const raceDetector = true
