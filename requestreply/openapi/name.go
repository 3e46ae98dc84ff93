package openapi

import (
	"path"
	"reflect"
	"strconv"
	"strings"
)

// schemaName is the name of a type as a key of components: letters and digits
// only, since External Services spells all else out in hexadecimal. The
// arguments of a generic type follow its name, without their packages.
func schemaName(t reflect.Type) string {
	var out, word strings.Builder
	flush := func() {
		w := word.String()
		word.Reset()
		w, _, _ = strings.Cut(w, "·") // and a number, which the compiler gives to local types
		w = w[strings.LastIndexByte(w, '/')+1:]
		w = w[strings.LastIndexByte(w, '.')+1:]
		out.WriteString(capital(w))
	}
	name := t.Name()
	for i := 0; i < len(name); i++ {
		switch c := name[i]; {
		case strings.HasPrefix(name[i:], "[]"):
			flush()
			out.WriteString("List")
			i++
		case strings.IndexByte("[]{}(),*; \"", c) >= 0:
			flush()
		default:
			word.WriteByte(c)
		}
	}
	flush()
	if out.Len() == 0 {
		return "Type"
	}
	return out.String()
}

// capital keeps the letters and digits of ASCII, and makes words of what the
// rest parts: order_line is OrderLine.
func capital(s string) string {
	var out strings.Builder
	up := true
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z' && up:
			out.WriteByte(c - 'a' + 'A')
			up = false
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9' && out.Len() > 0:
			out.WriteByte(c)
			up = false
		case c >= '0' && c <= '9':
			out.WriteByte('N') // a name begins with a letter
			out.WriteByte(c)
			up = false
		default:
			up = true
		}
	}
	return out.String()
}

// free returns a name for a type that no other has in whatever case: its own,
// else with its package before it, else with a number.
func (b *draft) free(t reflect.Type, name string) string {
	for i := 0; ; i++ {
		try := name
		switch {
		case i == 1 && t.PkgPath() != "":
			try = capital(path.Base(t.PkgPath())) + name
		case i > 0:
			try = name + strconv.Itoa(i+1)
		}
		key := strings.ToLower(try)
		if !b.a.taken[key] && !b.taken[key] {
			b.taken[key] = true
			return try
		}
	}
}
