module github.com/crosstie/crosstie/tools

go 1.26.0
