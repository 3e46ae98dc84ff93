module github.com/crosstie/crosstie/sqlstore/enginetest

go 1.26.0

require github.com/crosstie/crosstie v0.0.0

replace github.com/crosstie/crosstie => ../../
