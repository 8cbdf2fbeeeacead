"""Risk in factor form: Σ = FᵀF + diag(D), never formed."""
