// Package bench holds benchmarks that put this library beside rivals or beside
// a floor written by hand. It is a module of its own, outside the workspace and
// never released, because it pulls in the rivals.
package bench
