package wake_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/crosstie/crosstie/internal/wake"
)

func rang(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestRing(t *testing.T) {
	var b wake.Bell
	b.Ring() // heard by nobody
	first, second := b.Listen(), b.Listen()
	require.False(t, rang(first), "a ring before is not heard")
	b.Ring()
	require.True(t, rang(first) && rang(second), "all hear it")
	require.False(t, rang(b.Listen()))
}

func TestRingFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b wake.Bell
		heard := func(d time.Duration) (n int) {
			timeout := time.After(d)
			for {
				select {
				case <-b.Listen():
					n++
				case <-timeout:
					return n
				}
			}
		}
		b.RingFor(time.Second)
		early := heard(100 * time.Millisecond)
		require.Greater(t, early, 5, "often at first")
		late := heard(900 * time.Millisecond)
		require.Less(t, late, early, "then less")
		heard(time.Second) // at most one that was due
		require.Zero(t, heard(time.Hour), "then not at all")

		b.RingFor(time.Second)
		heard(900 * time.Millisecond)
		b.RingFor(time.Second) // asked again, it begins anew
		require.Greater(t, heard(100*time.Millisecond), 5)
		heard(time.Hour)
	})
}

func TestBells(t *testing.T) {
	var bells wake.Bells
	a, b := bells.Of("a").Listen(), bells.Of("b").Listen()
	bells.Of("a").Ring()
	<-a
	select {
	case <-b:
		t.Fatal("rung for another name")
	default:
	}
}
