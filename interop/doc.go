// Package interop has strangers read what we write: parsers and validators of
// other makers, which share no mistake with our tests. It is a module of its
// own, outside the workspace and never released, because it pulls them in.
package interop
