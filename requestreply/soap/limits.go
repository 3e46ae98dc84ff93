package soap

// Limits bound a message that arrives, before it is taken apart. Each field
// that is zero means its default; a negative value means no limit.
type Limits struct {
	// Bytes is how long it may be, after decompression. Defaults to 1 MiB.
	Bytes int64
	// Depth is how deep its elements may nest, the Envelope being the first.
	// Defaults to 64.
	Depth int
	// Tokens is how many elements, comments and CDATA sections it may have.
	// Defaults to 100,000.
	Tokens int
	// Attributes is how many attributes, namespace declarations included, one
	// element may have. Defaults to 64.
	Attributes int
}

func (l Limits) withDefaults() Limits {
	l.Bytes = orDefault(l.Bytes, 1<<20)
	l.Depth = orDefault(l.Depth, 64)
	l.Tokens = orDefault(l.Tokens, 100_000)
	l.Attributes = orDefault(l.Attributes, 64)
	return l
}

func orDefault[T ~int | ~int64](v, d T) T {
	if v == 0 {
		return d
	}
	return v
}

// over reports whether n is over limit.
func over(n, limit int) bool { return limit >= 0 && n > limit }
