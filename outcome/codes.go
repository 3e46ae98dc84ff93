package outcome

// GRPC returns what a gRPC status code, by its number, says of the call it
// ends, and whether a repeat is worth it. The codes are those of
// https://grpc.io/docs/guides/status-codes/.
//
// INVALID_ARGUMENT (3), NOT_FOUND (5), ALREADY_EXISTS (6), PERMISSION_DENIED
// (7), FAILED_PRECONDITION (9), ABORTED (10), OUT_OF_RANGE (11), no such
// method (12) and UNAUTHENTICATED (16) are Refused for good; after ABORTED the whole
// of read, decide and write is worth a repeat, the same call alone is not.
// UNKNOWN (2), DEADLINE_EXCEEDED (4), INTERNAL (13) and UNAVAILABLE (14) are
// Unknown and transient. So is RESOURCE_EXHAUSTED (8): it is said by a server
// that is busy and had done nothing, and by one's own library of an answer
// that was too large, after the effect. CANCELLED (1), DATA_LOSS (15) and what
// is no code are Unknown and not worth a repeat. OK (0) is Applied.
func GRPC(code uint32) (o Outcome, transient bool) {
	switch code {
	case 0:
		return Applied, false
	case 3, 5, 6, 7, 9, 10, 11, 12, 16:
		return Refused, false
	case 2, 4, 8, 13, 14:
		return Unknown, true
	}
	return Unknown, false
}

// SQLState returns what an SQLSTATE as PostgreSQL gives it (Appendix A of its
// manual) says of the statement it ends, or of the transaction when COMMIT got
// it, and whether a repeat of the whole transaction is worth it. known is false
// for codes that say nothing about the effect; they are Unknown.
//
// A statement that fails with an error of its own has no effect, so faults of
// the statement and its data (classes 0A, 21 to 2F, 34, 38, 3B, 3D, 3F, 42, 44,
// 54, 55, P0) are Refused for good; a serialization failure (40001), a deadlock
// (40P01), another rollback (40000), a lock that is taken (55P03, 55006), no
// room (class 53), a cancelled statement (57014) and a server that takes no
// connection yet (57P03) or any more (08001, 08004) are Refused and transient.
// A broken connection (08000, 08003, 08006, 08007), 40003 and a server that
// goes down (57P01, 57P02) are Unknown and transient: a server may say the last
// two of a COMMIT that is durable already.
func SQLState(code string) (o Outcome, transient, known bool) {
	if len(code) != 5 {
		return Unknown, false, false
	}
	switch code {
	case "40001", "40P01", "40000", "55P03", "55006", "57014", "57P03", "08001", "08004":
		return Refused, true, true
	case "08000", "08003", "08006", "08007", "40003", "57P01", "57P02":
		return Unknown, true, true
	}
	switch code[:2] {
	case "53":
		return Refused, true, true
	case "0A", "21", "22", "23", "24", "25", "26", "27", "28", "2B", "2D", "2F",
		"34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "54", "55", "P0":
		return Refused, false, true
	}
	return Unknown, false, false
}
