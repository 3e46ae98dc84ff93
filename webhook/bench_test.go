package webhook_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/webhook"
)

// Signing and verifying beside the bare HMAC of the same bytes.
func BenchmarkWebhook(b *testing.B) {
	for _, size := range []int{256, 16 << 10} {
		payload := bytes.Repeat([]byte("x"), size)
		h, err := webhook.Headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, payload, one)
		require.NoError(b, err)
		v := verifier(one)
		name := strconv.Itoa(size)
		b.Run("hmac alone/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			key := bytes.Repeat([]byte{1}, 32)
			for b.Loop() {
				m := hmac.New(sha256.New, key)
				m.Write(payload)
				_ = m.Sum(nil)
			}
		})
		b.Run("hmac set up once/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			m, sum := hmac.New(sha256.New, bytes.Repeat([]byte{1}, 32)), make([]byte, 0, 32)
			for b.Loop() {
				m.Reset()
				m.Write(payload)
				_ = m.Sum(sum)
			}
		})
		b.Run("sign/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = one.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", now, payload)
			}
		})
		b.Run("headers/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = webhook.Headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, payload, one)
			}
		})
		b.Run("verify/"+name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = v.Verify(h, payload, now)
			}
		})
	}
}
