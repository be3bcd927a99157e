"""Prediction over HTTP: one engine, the shapes that clients already speak, and what keeps it safe."""
