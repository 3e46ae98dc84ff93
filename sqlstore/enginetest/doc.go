// Package enginetest runs the kits of all patterns, and the tests of sqlstore
// itself, against real engines. It is a module of its own because those need
// drivers, which the library never imports.
package enginetest
