// Package bmv2 runs BMv2, the reference switch of P4, as a child process with
// pipes for ports, so that tests can compare what it does with what our switch
// does: no root, no interfaces, frames of any length, and none lost.
//
// It knows BMv2's command line, its packet files and its command-line client;
// it knows nothing of our switch.
package bmv2
