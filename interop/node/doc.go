// Package node has clients, servers and validators of the npm registry judge
// what this library serves and sends, and this library judge what they send.
// Its tests need Node and what package.json names; make interop-node installs
// that and runs them.
package node
