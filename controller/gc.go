package controller

// GCPercent is the GC percentage (runtime/debug.SetGCPercent) of a process that
// runs a Controller. Nearly all of its heap is routes and entries that stay, so
// that Go's default of 100 marks the same objects again and again while a table
// arrives: 100,000 routes take a quarter less time with 200, for 300 bytes of
// resident memory a route (make bench BENCH=type2).
const GCPercent = 200
