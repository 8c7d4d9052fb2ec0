"""The pitfalls, one module each: wrong code, a symptom, the fixed code, and the object that the laws check."""
