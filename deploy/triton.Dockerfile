# NVIDIA's Triton, and what models of text need beside it: they run on its python backend, with a tokeniser of their own.
# The versions are those of requirements/triton.txt, with which the embedded Triton runs them.
FROM nvcr.io/nvidia/tritonserver:26.08-py3

RUN pip install --no-cache-dir --disable-pip-version-check onnxruntime==1.31.1 tokenizers==0.23.3
