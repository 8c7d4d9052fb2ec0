"""What the library says to wrong input: a call, the kind of its error, and the one line that it tells.

Each names the thing, the value and what is allowed.  Where NumPy tells it well, the op's name and the shapes stand
before its words, which "..." stands for here: they change with its version.
"""

# ruff: noqa: E501 (a table)

from types import SimpleNamespace

import numpy as np
import pytest

import tinygrad_gpt as tg

CONFIG = tg.GPTConfig(vocab_size=11, context_length=5, emb_dim=12, n_heads=3, n_layers=2)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What the calls are made of."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "a.txt").write_text("hello world " * 20)

    def batches(**settings):
        return tg.Batches(np.arange(50) % 11, **{"context_length": 4, "batch_size": 2} | settings)

    def train(**settings):
        model = tg.GPT(CONFIG)
        return list(tg.train(model, tg.AdamW(model.parameters()), batches(), **{"steps": 1} | settings))

    things = SimpleNamespace(
        tg=tg,
        np=np,
        ops=tg.ops,
        nan=float("nan"),
        inf=float("inf"),
        T=tg.Tensor,
        x=tg.Tensor(np.ones((2, 3)), requires_grad=True),
        C=CONFIG,
        M=tg.GPT(CONFIG),
        B=batches,
        train=train,
        tok=tg.tokenizer("bytes"),
        tmp=folder,
    )
    return vars(things)


WRONG = {
    "Tensors made": r"""
T('abc')  =>  TypeError: data must be an array or numbers; got 'abc'
T(None)  =>  TypeError: data must be an array or numbers; got None
T([1,'a'])  =>  TypeError: data must be an array or numbers; got [1, 'a']
T([[1,2],[3]])  =>  ValueError: data must be an array, its rows equally long; got list
T({1:2})  =>  TypeError: data must be an array or numbers; got {1: 2}
T(1+2j,requires_grad=True)  =>  TypeError: data must be an array or numbers; got (1+2j)
T([1,2],requires_grad=True)  =>  TypeError: requires_grad needs floating-point data; got int64
T(True,requires_grad=True)  =>  TypeError: requires_grad needs floating-point data; got bool
""",
    "Tensors computed with": r"""
x+'a'  =>  TypeError: data must be an array or numbers; got 'a'
x+None  =>  TypeError: data must be an array or numbers; got None
x@3  =>  ValueError: matmul of (2, 3), (): matmul: ...
x*[1,2]  =>  ValueError: multiply of (2, 3), (2,): ...
x+np.ones((5,))  =>  ValueError: add of (2, 3), (5,): ...
x**'a'  =>  TypeError: data must be an array or numbers; got 'a'
x[5]  =>  IndexError: getitem of (2, 3): ...
x['a']  =>  IndexError: getitem of (2, 3): ...
x[0,0,0]  =>  IndexError: getitem of (2, 3): ...
x[1.5]  =>  IndexError: getitem of (2, 3): ...
x.reshape(7)  =>  ValueError: reshape of (2, 3): ...
x.reshape('a')  =>  TypeError: reshape of (2, 3): ...
x.reshape(-1,-1)  =>  ValueError: reshape of (2, 3): ...
x.transpose(0,0)  =>  ValueError: transpose of (2, 3): axes must name each of the 2 axes once; got (0, 0)
x.transpose(5,1)  =>  ValueError: transpose of (2, 3): axes must name each of the 2 axes once; got (5, 1)
x.sum(axis=5)  =>  ValueError: sum of (2, 3): ...
x.sum(axis='a')  =>  TypeError: sum of (2, 3): ...
x.mean(axis=2)  =>  ValueError: mean of (2, 3): ...
x.max(axis=3)  =>  ValueError: max of (2, 3): ...
x.var(axis=9)  =>  ValueError: var of (2, 3): ...
x.softmax(axis=4)  =>  ValueError: softmax of (2, 3): ...
x.backward()  =>  ValueError: backward of a tensor of shape (2, 3) needs dloss, a gradient of that shape
x.sum().backward(np.ones(3))  =>  ValueError: dloss must be float64(), as the loss; got float64(3,)
T([1.]).backward()  =>  ValueError: backward needs a loss that depends on a tensor with requires_grad=True
x.masked_fill(np.ones((2,3)),1)  =>  TypeError: masked_fill of (2, 3), (2, 3): mask must be an array of bool; got an array of float64
x.masked_fill(np.ones((4,3),bool),1)  =>  ValueError: masked_fill of (2, 3), (4, 3): ...
x.masked_fill('a',1)  =>  TypeError: masked_fill of (2, 3), a: mask must be an array of bool; got 'a'
x.split(2,axis=1)  =>  ValueError: split of (2, 3): sections must divide the length 3 of axis 1; got 2
x.split('a')  =>  TypeError: sections must be a whole number of at least 1; got 'a'
x.item()  =>  ValueError: item needs a tensor of one entry; this one has shape (2, 3)
float(x)  =>  ValueError: item needs a tensor of one entry; this one has shape (2, 3)
bool(x)  =>  ValueError: ...
int(x)  =>  TypeError: ...
len(T(1.))  =>  TypeError: a tensor of shape () has no length
iter(T(1.))  =>  TypeError: a tensor of shape () has no length
""",
    "Joining, choosing, walking back": r"""
tg.where(1,x,x)  =>  TypeError: mask must be an array of bool; got 1
tg.where(np.ones((2,3)),x,x)  =>  TypeError: mask must be an array of bool; got an array of float64
tg.where(np.ones((7,3),bool),x,x)  =>  ValueError: where of (7, 3), (2, 3), (2, 3): ...
tg.concatenate([])  =>  ValueError: concatenate needs one tensor or more; got none
tg.concatenate([x,x],axis=5)  =>  ValueError: concatenate of (2, 3), (2, 3): ...
tg.concatenate([x,'a'])  =>  TypeError: data must be an array or numbers; got 'a'
tg.apply(1,x)  =>  TypeError: op must be a function on arrays, such as ops.gelu; got 1
tg.apply('gelu',x)  =>  TypeError: op must be a function on arrays, such as ops.gelu; got 'gelu'
tg.apply(ops.gelu)  =>  TypeError: gelu of : ...
tg.apply(ops.gelu,x,foo=1)  =>  TypeError: gelu of (2, 3): ...
tg.backward(3)  =>  TypeError: loss must be a Tensor; got int
tg.backward(x)  =>  ValueError: backward of a tensor of shape (2, 3) needs dloss, a gradient of that shape
tg.backward(None)  =>  TypeError: loss must be a Tensor; got NoneType
""",
    "Configurations": r"""
tg.GPTConfig(vocab_size=0)  =>  ValueError: vocab_size must be a whole number of at least 1; got 0
tg.GPTConfig(vocab_size=-3)  =>  ValueError: vocab_size must be a whole number of at least 1; got -3
tg.GPTConfig(vocab_size=1.5)  =>  TypeError: vocab_size must be a whole number of at least 1; got 1.5
tg.GPTConfig(vocab_size='a')  =>  TypeError: vocab_size must be a whole number of at least 1; got 'a'
tg.GPTConfig(n_heads=5)  =>  ValueError: n_heads must divide emb_dim 768; got 5
tg.GPTConfig(n_heads=0)  =>  ValueError: n_heads must be a whole number of at least 1; got 0
tg.GPTConfig(drop_rate=1)  =>  ValueError: drop_rate must be at least 0 and below 1; got 1
tg.GPTConfig(drop_rate=nan)  =>  ValueError: drop_rate must be at least 0 and below 1; got nan
tg.GPTConfig(drop_rate=-.1)  =>  ValueError: drop_rate must be at least 0 and below 1; got -0.1
tg.GPTConfig(drop_rate='a')  =>  TypeError: drop_rate must be at least 0 and below 1; got 'a'
tg.GPTConfig(qkv_bias=1)  =>  TypeError: qkv_bias must be True or False; got 1
tg.GPTConfig(tie_weights=None)  =>  TypeError: tie_weights must be True or False; got None
tg.GPTConfig(context_length=True)  =>  TypeError: context_length must be a whole number of at least 1; got True
tg.GPTConfig(foo=1)  =>  TypeError: ...
tg.GPTConfig(emb_dim=None)  =>  TypeError: emb_dim must be a whole number of at least 1; got None
tg.GPTConfig(emb_dim=nan)  =>  TypeError: emb_dim must be a whole number of at least 1; got nan
""",
    "Models": r"""
tg.GPT(None)  =>  TypeError: config must be a GPTConfig; got NoneType
tg.GPT({})  =>  TypeError: config must be a GPTConfig; got dict
tg.GPT('small')  =>  TypeError: config must be a GPTConfig; got str
tg.GPT(C,seed=-1)  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
tg.GPT(C,seed=1.5)  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 1.5
tg.GPT(C,seed=2**64)  =>  ValueError: seed must be from 0 to 2**64 - 1; got 18446744073709551616
tg.GPT(C,seed=None)  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got None
tg.GPT(C,seed='a')  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 'a'
tg.GPT(C,device='tpu')  =>  ValueError: device must be one of cpu, cuda, auto; got 'tpu'
tg.GPT(C,device=None)  =>  ValueError: device must be one of cpu, cuda, auto; got None
tg.GPT(C,device=0)  =>  ValueError: device must be one of cpu, cuda, auto; got 0
tg.GPT(C,dtype='int32')  =>  TypeError: dtype must be one of float32, float64; got int32
tg.GPT(C,dtype='abc')  =>  TypeError: dtype must be one of float32, float64; got abc
tg.GPT(C,dtype='complex64')  =>  TypeError: dtype must be one of float32, float64; got complex64
tg.GPT(C,dtype=None)  =>  TypeError: dtype must be one of float32, float64; got None
tg.GPT(C,weights={})  =>  ValueError: weights do not fit the model: h.0.attn.c_attn.weight is missing; h.0.attn.c_proj.bias is missing; h.0.attn.c_proj.weight is missing; and 24 more
tg.GPT(C,weights={'a':1})  =>  TypeError: weight a must be an array; got int
tg.GPT(C,weights=[1])  =>  TypeError: weights must be a dict of GPT-2's names to arrays; got list
tg.GPT(C,weights={n:'a' for n in M.parameters()})  =>  TypeError: weight wte.weight must be an array; got str
tg.GPT(C,init='foo')  =>  ValueError: init must be one of gpt2, torch; got 'foo'
tg.GPT(C,init=None)  =>  ValueError: init must be one of gpt2, torch; got None
tg.GPT(C,activation_checkpointing='no')  =>  TypeError: activation_checkpointing must be True or False; got 'no'
""",
    "Ids": r"""
M([1,2,3])  =>  ValueError: ids must be (batch, time), with one token or more; got shape (3,)
M(np.array([[1.,2.]]))  =>  TypeError: ids must be whole numbers; got float64
M([[11]])  =>  ValueError: ids must be from 0 to 10; got 11 at position (0, 0)
M([[-1]])  =>  ValueError: ids must be from 0 to 10; got -1 at position (0, 0)
M([[]])  =>  ValueError: ids must be (batch, time), with one token or more; got shape (1, 0)
M([[1,2,3,4,5,6]])  =>  ValueError: ids may be at most context_length 5 long; got 6
M('abc')  =>  TypeError: ids must be whole numbers; got <U3
M(None)  =>  TypeError: ids must be whole numbers; got object
M([[1,2],[3]])  =>  ValueError: ids must be an array, its rows equally long; got list
M([[True]])  =>  TypeError: ids must be whole numbers; got bool
M(np.zeros((1,2,3),int))  =>  ValueError: ids must be (batch, time), with one token or more; got shape (1, 2, 3)
M([[1]],dropout=0.1)  =>  TypeError: dropout must be a Dropout(seed, step), or None for no dropout; got 0.1
M([[1]],dropout='yes')  =>  TypeError: dropout must be a Dropout(seed, step), or None for no dropout; got 'yes'
M([['a']])  =>  TypeError: ids must be whole numbers; got <U1
M([[nan]])  =>  TypeError: ids must be whole numbers; got float64
""",
    "Losses of a model": r"""
M.loss([[1,2]],[[1]])  =>  ValueError: linear_cross_entropy of (1, 2, 12), (11, 12), (1, 1): targets must have the shape (1, 2) of the logits' rows; got (1, 1)
M.loss([[1]],[[11]])  =>  ValueError: targets must be from 0 to 10; got 11 at position (0, 0)
M.loss([[1]],[[-100]])  =>  ValueError: targets must be from 0 to 10; got -100 at position (0, 0)
M.loss([[1]],[[1.5]])  =>  TypeError: targets must be whole numbers; got float64
M.loss([[1]],[[1]],reduction='max')  =>  ValueError: linear_cross_entropy of (1, 1, 12), (11, 12), (1, 1): reduction must be 'mean' or 'sum'; got 'max'
M.loss([[1]],[[1]],reduction=None)  =>  ValueError: linear_cross_entropy of (1, 1, 12), (11, 12), (1, 1): reduction must be 'mean' or 'sum'; got None
M.loss([[1]],[[-1]],ignore_index=-1)  =>  ValueError: targets must hold at least one token that is not ignored: there is nothing to average
M.loss([[1]],[[1]],ignore_index='a')  =>  TypeError: ignore_index must be a whole number, or None; got 'a'
M.loss([[1]],None)  =>  TypeError: targets must be whole numbers; got object
M.loss([[1]],[[1]],ignore_index=1.5)  =>  TypeError: ignore_index must be a whole number, or None; got 1.5
M.load({})  =>  ValueError: weights do not fit the model: h.0.attn.c_attn.weight is missing; h.0.attn.c_proj.bias is missing; h.0.attn.c_proj.weight is missing; and 24 more
M.load(None)  =>  TypeError: weights must be a dict of GPT-2's names to arrays; got NoneType
""",
    "Losses": r"""
tg.cross_entropy(x,[1])  =>  ValueError: cross_entropy of (2, 3), (1,): targets must have the shape (2,) of the logits' rows; got (1,)
tg.cross_entropy(x,[0,5])  =>  ValueError: targets must be from 0 to 2; got 5 at offset 1
tg.cross_entropy(x,[0,-1])  =>  ValueError: targets must be from 0 to 2; got -1 at offset 1
tg.cross_entropy(x,[0.5,1])  =>  TypeError: targets must be whole numbers; got float64
tg.cross_entropy(T(1.),0)  =>  TypeError: logits must be a Tensor (..., V); got shape ()
tg.cross_entropy('a',[1])  =>  TypeError: logits must be a Tensor (..., V); got str
tg.cross_entropy(x,[0,0],ignore_index=0)  =>  ValueError: targets must hold at least one token that is not ignored: there is nothing to average
tg.cross_entropy(x,[0,1],reduction='none')  =>  ValueError: cross_entropy of (2, 3), (2,): reduction must be 'mean' or 'sum'; got 'none'
tg.cross_entropy(T(np.ones((2,0))),[0,0])  =>  ValueError: targets must be from 0 to -1; got 0 at offset 0
tg.cross_entropy(x,'ab')  =>  TypeError: targets must be whole numbers; got <U2
tg.cross_entropy(x,None)  =>  TypeError: targets must be whole numbers; got object
tg.perplexity('a')  =>  TypeError: loss must be a number; got 'a'
tg.perplexity(None)  =>  TypeError: loss must be a number; got None
tg.perplexity([1,2])  =>  TypeError: loss must be a number; got [1, 2]
""",
    "AdamW": r"""
tg.AdamW([])  =>  TypeError: parameters must be a dict of name to Tensor, as model.parameters() gives; got list
tg.AdamW({})  =>  ValueError: parameters must hold at least one tensor; got none
tg.AdamW({'a':1})  =>  TypeError: parameter a must be a Tensor; got int
tg.AdamW({'a':np.ones(2)})  =>  TypeError: parameter a must be a Tensor; got ndarray
tg.AdamW(None)  =>  TypeError: parameters must be a dict of name to Tensor, as model.parameters() gives; got NoneType
tg.AdamW(M)  =>  TypeError: parameters must be a dict of name to Tensor, as model.parameters() gives; got GPT
tg.AdamW(M.parameters(),lr=-1)  =>  ValueError: lr must be a finite number of at least 0; got -1
tg.AdamW(M.parameters(),lr=nan)  =>  ValueError: lr must be a finite number of at least 0; got nan
tg.AdamW(M.parameters(),lr='a')  =>  TypeError: lr must be a finite number of at least 0; got 'a'
tg.AdamW(M.parameters(),lr=[1,[2]])  =>  TypeError: lr must be a finite number of at least 0; got [1, [2]]
tg.AdamW(M.parameters(),lr=T(0.1))  =>  TypeError: lr must be a finite number of at least 0; got Tensor(array(0.1))
tg.AdamW(M.parameters(),lr=None)  =>  TypeError: lr must be a finite number of at least 0; got None
tg.AdamW(M.parameters(),betas=(1,0.9))  =>  ValueError: beta1 must be at least 0 and below 1; got 1
tg.AdamW(M.parameters(),betas=0.9)  =>  TypeError: betas must be two numbers, (beta1, beta2); got 0.9
tg.AdamW(M.parameters(),betas=(0.9,))  =>  TypeError: betas must be two numbers, (beta1, beta2); got (0.9,)
tg.AdamW(M.parameters(),betas=('a',0))  =>  TypeError: beta1 must be at least 0 and below 1; got 'a'
tg.AdamW(M.parameters(),eps=-1)  =>  ValueError: eps must be a finite number of at least 0; got -1
tg.AdamW(M.parameters(),weight_decay=-1)  =>  ValueError: weight_decay must be a finite number of at least 0; got -1
tg.AdamW(M.parameters(),decays=True)  =>  TypeError: decays must be a function of name and parameter, such as all_decay; got True
tg.AdamW(M.parameters(),decays='all')  =>  TypeError: decays must be a function of name and parameter, such as all_decay; got 'all'
tg.AdamW(M.parameters()).step(lr=-1)  =>  ValueError: lr must be a finite number of at least 0; got -1
tg.AdamW(M.parameters()).step(lr='a')  =>  TypeError: lr must be a finite number of at least 0; got 'a'
tg.AdamW(M.parameters()).step(max_norm=0)  =>  ValueError: max_norm must be positive; got 0
tg.AdamW(M.parameters()).step(max_norm='a')  =>  TypeError: max_norm must be positive; got 'a'
tg.AdamW(M.parameters()).step(max_norm=nan)  =>  ValueError: max_norm must be positive; got nan
tg.AdamW(M.parameters()).step(loss=nan)  =>  FloatingPointError: loss nan, which is not finite
tg.AdamW(M.parameters()).load_state({})  =>  ValueError: optimizer state must have the optimizer's parameters; only one of the two has h.0.attn.c_attn.weight, h.0.attn.c_proj.bias, h.0.attn.c_proj.weight, and 24 more
tg.AdamW(M.parameters()).load_state(None)  =>  TypeError: optimizer state must be a dict of parameter name to step count and moments; got NoneType
tg.AdamW({'a':T([1,2])})  =>  TypeError: parameter a must be float32, float64 or float16; got int64
""",
    "Clipping and schedules": r"""
tg.clip_grad_norm(M.parameters(),0)  =>  ValueError: max_norm must be positive; got 0
tg.clip_grad_norm(M.parameters(),-1)  =>  ValueError: max_norm must be positive; got -1
tg.clip_grad_norm(M.parameters(),nan)  =>  ValueError: max_norm must be positive; got nan
tg.clip_grad_norm(M.parameters(),'a')  =>  TypeError: max_norm must be positive; got 'a'
tg.clip_grad_norm([],1)  =>  TypeError: parameters must be a dict of name to Tensor, as model.parameters() gives; got list
tg.clip_grad_norm(None,1)  =>  TypeError: parameters must be a dict of name to Tensor, as model.parameters() gives; got NoneType
tg.cosine_schedule(0,peak_lr=1,total_steps=5)  =>  ValueError: step must be a whole number of at least 1; got 0
tg.cosine_schedule(1,peak_lr=-1,total_steps=5)  =>  ValueError: peak_lr must be a finite number of at least 0; got -1
tg.cosine_schedule(1,peak_lr=1,total_steps=5,warmup_steps=5)  =>  ValueError: warmup_steps must be from 0 to below total_steps 5; got 5
tg.cosine_schedule(1,peak_lr=1,total_steps=0)  =>  ValueError: total_steps must be a whole number of at least 1; got 0
tg.cosine_schedule(1,peak_lr=1,total_steps=5,min_lr=2)  =>  ValueError: min_lr must be from 0 to peak_lr 1; got 2
tg.cosine_schedule('a',peak_lr=1,total_steps=5)  =>  TypeError: step must be a whole number of at least 1; got 'a'
tg.cosine_schedule(1,peak_lr='a',total_steps=5)  =>  TypeError: peak_lr must be a finite number of at least 0; got 'a'
tg.cosine_schedule(1,peak_lr=nan,total_steps=5)  =>  ValueError: peak_lr must be a finite number of at least 0; got nan
tg.cosine_schedule(1.5,peak_lr=1,total_steps=5)  =>  TypeError: step must be a whole number of at least 1; got 1.5
""",
    "Probabilities": r"""
tg.probabilities([])  =>  ValueError: logits must have shape (..., V) with V at least 1; got shape (0,)
tg.probabilities([nan,1])  =>  ValueError: logits must be finite or -inf; got nan at row 0, id 0
tg.probabilities([inf,1])  =>  ValueError: logits must be finite or -inf; got inf at row 0, id 0
tg.probabilities([-inf,-inf])  =>  ValueError: logits must leave a token to draw; got -inf for every id (0 to 1) of row 0
tg.probabilities('a')  =>  TypeError: logits must be an array of real numbers; got dtype <U1
tg.probabilities(1.)  =>  ValueError: logits must have shape (..., V) with V at least 1; got shape ()
tg.probabilities(None)  =>  TypeError: logits must be an array of real numbers; got dtype object
tg.probabilities([1.,2],temperature=-1)  =>  ValueError: temperature must be a finite number, at least 0; got -1
tg.probabilities([1.,2],temperature=nan)  =>  ValueError: temperature must be a finite number, at least 0; got nan
tg.probabilities([1.,2],temperature=inf)  =>  ValueError: temperature must be a finite number, at least 0; got inf
tg.probabilities([1.,2],temperature='a')  =>  TypeError: temperature must be a finite number, at least 0; got 'a'
tg.probabilities([1.,2],temperature=None)  =>  TypeError: temperature must be a finite number, at least 0; got None
tg.probabilities([1.,2],temperature=[1,2,3])  =>  ValueError: temperature must be one number, or one per row in shape (); got shape (3,)
tg.probabilities([1.,2],top_k=0)  =>  ValueError: top_k must be a whole number, at least 1, or None for no limit; got 0
tg.probabilities([1.,2],top_k=-1)  =>  ValueError: top_k must be a whole number, at least 1, or None for no limit; got -1
tg.probabilities([1.,2],top_k=1.5)  =>  TypeError: top_k must be a whole number, at least 1, or None for no limit; got 1.5
tg.probabilities([1.,2],top_k='a')  =>  TypeError: top_k must be a whole number, at least 1, or None for no limit; got 'a'
tg.probabilities([1.,2],top_k=True)  =>  TypeError: top_k must be a whole number, at least 1, or None for no limit; got True
tg.probabilities([1.,2],top_p=0)  =>  ValueError: top_p must be a number above 0 and at most 1, or None for no limit; got 0
tg.probabilities([1.,2],top_p=1.1)  =>  ValueError: top_p must be a number above 0 and at most 1, or None for no limit; got 1.1
tg.probabilities([1.,2],top_p=nan)  =>  ValueError: top_p must be a number above 0 and at most 1, or None for no limit; got nan
tg.probabilities([1.,2],top_p='a')  =>  TypeError: top_p must be a number above 0 and at most 1, or None for no limit; got 'a'
tg.probabilities([1.,2],min_p=-1)  =>  ValueError: min_p must be a number from 0 to 1, or None for no limit; got -1
tg.probabilities([1.,2],min_p=2)  =>  ValueError: min_p must be a number from 0 to 1, or None for no limit; got 2
tg.probabilities([1.,2],min_p=nan)  =>  ValueError: min_p must be a number from 0 to 1, or None for no limit; got nan
tg.probabilities([1.,2],ties='none')  =>  ValueError: ties must be one of exact, all; got 'none'
tg.probabilities([1.,2],ties=None)  =>  ValueError: ties must be one of exact, all; got None
tg.probabilities([1+2j,1])  =>  TypeError: logits must be an array of real numbers; got dtype complex128
tg.probabilities([[1.,2],[1]])  =>  ValueError: logits must be an array, its rows equally long; got list
""",
    "Draws": r"""
tg.draw([.5,.5],1.)  =>  ValueError: u must be at least 0 and below 1; got numbers from 1.0 to 1.0
tg.draw([.5,.5],-.1)  =>  ValueError: u must be at least 0 and below 1; got numbers from -0.1 to -0.1
tg.draw([.5,.5],nan)  =>  ValueError: u must be at least 0 and below 1; got numbers from nan to nan
tg.draw([.5,.5],'a')  =>  TypeError: u must be an array of real numbers; got dtype <U1
tg.draw([0.,0],.5)  =>  ValueError: probs must be at least 0 and finite, with more than 0 in every row
tg.draw([-1.,2],.5)  =>  ValueError: probs must be at least 0 and finite, with more than 0 in every row
tg.draw([nan,1],.5)  =>  ValueError: probs must be at least 0 and finite, with more than 0 in every row
tg.draw([inf,1],.5)  =>  ValueError: probs must be at least 0 and finite, with more than 0 in every row
tg.draw([],.5)  =>  ValueError: probs must have shape (..., V) with V at least 1; got shape (0,)
tg.draw(1.,.5)  =>  ValueError: probs must have shape (..., V) with V at least 1; got shape ()
tg.draw([[.5,.5]],[.1,.2,.3])  =>  ValueError: u must have one number per row of probs, shape (1,); got shape (3,)
tg.draw('a',.5)  =>  TypeError: probs must be an array of real numbers; got dtype <U1
tg.draw(None,.5)  =>  TypeError: probs must be an array of real numbers; got dtype object
tg.draw([.5,.5],None)  =>  TypeError: u must be an array of real numbers; got dtype object
tg.greedy([])  =>  ValueError: logits must have shape (..., V) with V at least 1; got shape (0,)
tg.greedy([nan,1])  =>  ValueError: logits must be finite or -inf; got nan at row 0, id 0
tg.greedy('a')  =>  TypeError: logits must be an array of real numbers; got dtype <U1
tg.greedy(None)  =>  TypeError: logits must be an array of real numbers; got dtype object
tg.greedy(1.)  =>  ValueError: logits must have shape (..., V) with V at least 1; got shape ()
tg.uniforms(-1,rows=0,positions=0)  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
tg.uniforms(1.5,rows=0,positions=0)  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 1.5
tg.uniforms(0,rows=-1,positions=0)  =>  ValueError: rows must be at least 0; got -1
tg.uniforms(0,rows=0,positions=-1)  =>  ValueError: positions must be at least 0; got -1
tg.uniforms(0,rows=0.5,positions=0)  =>  TypeError: rows must be whole numbers; got dtype float64
tg.uniforms(0,rows='a',positions=0)  =>  TypeError: rows must be whole numbers; got dtype <U1
""",
    "Generation": r"""
list(tg.generate(M,[[]],5))  =>  ValueError: prompts must have at least one id in each row; got none in row 0
list(tg.generate(M,[1,2],5))  =>  ValueError: prompts must be rows of ids, [ids] for a single one; got shape () as row 0
list(tg.generate(M,'abc',5))  =>  ValueError: prompts must be rows of ids, [ids] for a single one; got shape () as row 0
list(tg.generate(M,[[11]],5))  =>  ValueError: ids of prompt 0 must be from 0 to 10; got 11 at offset 0
list(tg.generate(M,[[-1]],5))  =>  ValueError: ids of prompt 0 must be from 0 to 10; got -1 at offset 0
list(tg.generate(M,[[1.5]],5))  =>  TypeError: ids of prompt 0 must be whole numbers; got float64
list(tg.generate(M,None,5))  =>  TypeError: ...
list(tg.generate(M,[['a']],5))  =>  TypeError: ids of prompt 0 must be whole numbers; got <U1
tg.generate(M,[[1]],-1)  =>  ValueError: max_new_tokens must be a whole number of at least 0; got -1
tg.generate(M,[[1]],1.5)  =>  TypeError: max_new_tokens must be a whole number of at least 0; got 1.5
tg.generate(M,[[1]],'a')  =>  TypeError: max_new_tokens must be a whole number of at least 0; got 'a'
tg.generate(M,[[1]],None)  =>  TypeError: max_new_tokens must be a whole number of at least 0; got None
tg.generate(M,[[1]],5,temperature=-1)  =>  ValueError: temperature must be a finite number, at least 0; got -1
tg.generate(M,[[1]],5,top_k=0)  =>  ValueError: top_k must be a whole number, at least 1, or None for no limit; got 0
tg.generate(M,[[1]],5,seed=-1)  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
tg.generate(M,[[1]],5,seed='a')  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 'a'
tg.generate(M,[[1]],5,stop_tokens=[11])  =>  ValueError: stop_tokens must hold ids from 0 to 10; got 11
tg.generate(M,[[1]],5,stop_tokens=3)  =>  TypeError: stop_tokens must be a sequence of ids; got 3
tg.generate(M,[[1]],5,stop_tokens='a')  =>  TypeError: stop_tokens must be a sequence of ids; got 'a'
tg.generate(M,[[1]],5,stop_tokens=[1.5])  =>  TypeError: stop_tokens must be a sequence of ids; got [1.5]
tg.generate(None,[[1]],5)  =>  TypeError: model must have config and __call__; got NoneType
tg.generate('m',[[1]],5)  =>  TypeError: model must have config and __call__; got str
tg.generate(M,[[1]],5,temperature=[1,2,3])  =>  ValueError: temperature must be one number, or one per row in shape (1,); got shape (3,)
tg.generate(M,[[1]],5,ties='a')  =>  ValueError: ties must be one of exact, all; got 'a'
""",
    "Batches": r"""
B(context_length=0)  =>  ValueError: context_length must be a whole number of at least 1; got 0
B(context_length=50)  =>  ValueError: text has 50 tokens; context_length 50 needs at least 51: use a context_length of 49 or less, or more text
B(context_length=1.5)  =>  TypeError: context_length must be a whole number of at least 1; got 1.5
B(context_length='a')  =>  TypeError: context_length must be a whole number of at least 1; got 'a'
B(batch_size=0)  =>  ValueError: batch_size must be a whole number of at least 1; got 0
B(batch_size=100)  =>  ValueError: text gives 12 chunks of context_length 4; batch_size 100 needs at least 100: use a batch_size of 12 or less, or drop_last=False
B(batch_size=None)  =>  TypeError: batch_size must be a whole number of at least 1; got None
B(stride=0)  =>  ValueError: stride must be a whole number of at least 1; got 0
B(stride=1.5)  =>  TypeError: stride must be a whole number of at least 1; got 1.5
B(seed=-1)  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
B(seed='a')  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 'a'
tg.Batches([],context_length=4,batch_size=2)  =>  TypeError: tokens must be whole numbers (N,); got float64 of shape (0,)
tg.Batches([.5]*50,context_length=4,batch_size=2)  =>  TypeError: tokens must be whole numbers (N,); got float64 of shape (50,)
tg.Batches('a'*50,context_length=4,batch_size=2)  =>  TypeError: tokens must be whole numbers (N,); got <U50 of shape ()
tg.Batches(None,context_length=4,batch_size=2)  =>  TypeError: tokens must be whole numbers (N,); got object of shape ()
tg.Batches(np.ones((50,2),int),context_length=4,batch_size=2)  =>  TypeError: tokens must be whole numbers (N,); got int64 of shape (50, 2)
B().batch(0)  =>  ValueError: step must be a whole number of at least 1; got 0
B().batch(1.5)  =>  TypeError: step must be a whole number of at least 1; got 1.5
B().batch('a')  =>  TypeError: step must be a whole number of at least 1; got 'a'
""",
    "Splits and evaluation": r"""
tg.split_tokens(np.arange(9),1)  =>  ValueError: val_fraction must be at least 0 and below 1; got 1
tg.split_tokens(np.arange(9),-1)  =>  ValueError: val_fraction must be at least 0 and below 1; got -1
tg.split_tokens(np.arange(9),nan)  =>  ValueError: val_fraction must be at least 0 and below 1; got nan
tg.split_tokens(np.arange(9),'a')  =>  TypeError: val_fraction must be at least 0 and below 1; got 'a'
tg.split_tokens(None,.1)  =>  TypeError: tokens must have __len__ and __getitem__; got NoneType
tg.evaluate(M,[])  =>  ValueError: evaluating needs at least 2 tokens; got 0
tg.evaluate(M,[1])  =>  ValueError: evaluating needs at least 2 tokens; got 1
tg.evaluate(M,[1,11])  =>  ValueError: tokens must be from 0 to 10; got 11 at offset 1
tg.evaluate(M,[1,-1])  =>  ValueError: tokens must be from 0 to 10; got -1 at offset 1
tg.evaluate(M,[1,2,-1])  =>  ValueError: tokens must be from 0 to 10; got -1 at offset 2
tg.evaluate(M,[.9,1.9,2.9])  =>  TypeError: tokens must be whole numbers; got float64
tg.evaluate(M,'abc')  =>  ValueError: tokens must be one sequence (N,); got shape ()
tg.evaluate(M,None)  =>  ValueError: tokens must be one sequence (N,); got shape ()
tg.evaluate(M,[[1,2]])  =>  ValueError: tokens must be one sequence (N,); got shape (1, 2)
tg.evaluate(M,[1,2],stride=0)  =>  ValueError: stride must be a whole number of at least 1, at most context_length 5; got 0
tg.evaluate(M,[1,2],stride=6)  =>  ValueError: stride must be a whole number of at least 1, at most context_length 5; got 6
tg.evaluate(M,[1,2],stride='a')  =>  TypeError: stride must be a whole number of at least 1, at most context_length 5; got 'a'
tg.evaluate(M,[1,2],stride=1.5)  =>  TypeError: stride must be a whole number of at least 1, at most context_length 5; got 1.5
tg.evaluate(M,[1,2],batch_size=0)  =>  ValueError: batch_size must be a whole number of at least 1; got 0
tg.evaluate(M,[1,2],batch_size='a')  =>  TypeError: batch_size must be a whole number of at least 1; got 'a'
tg.evaluate(M,[1,2],batch_size=1.5)  =>  TypeError: batch_size must be a whole number of at least 1; got 1.5
tg.evaluate(M,[1,2],max_tokens=0)  =>  ValueError: max_tokens must be a whole number of at least 1, or None for all; got 0
tg.evaluate(M,[1,2],max_tokens='a')  =>  TypeError: max_tokens must be a whole number of at least 1, or None for all; got 'a'
tg.evaluate(M,[1,2],max_tokens=1.5)  =>  TypeError: max_tokens must be a whole number of at least 1, or None for all; got 1.5
tg.evaluate(None,[1,2])  =>  TypeError: model must have config and loss; got NoneType
tg.evaluate(M,[True,False])  =>  TypeError: tokens must be whole numbers; got bool
""",
    "Training": r"""
train(steps=-1)  =>  ValueError: steps must be a whole number of at least 0; got -1
train(steps='a')  =>  TypeError: steps must be a whole number of at least 0; got 'a'
train(steps=1.5)  =>  TypeError: steps must be a whole number of at least 0; got 1.5
train(clip_norm=0)  =>  ValueError: clip_norm must be positive, or None for no bound; got 0
train(clip_norm=-1)  =>  ValueError: clip_norm must be positive, or None for no bound; got -1
train(clip_norm=nan)  =>  ValueError: clip_norm must be positive, or None for no bound; got nan
train(clip_norm='a')  =>  TypeError: clip_norm must be positive, or None for no bound; got 'a'
train(accumulation=0)  =>  ValueError: accumulation must be a whole number of at least 1; got 0
train(accumulation=1.5)  =>  TypeError: accumulation must be a whole number of at least 1; got 1.5
train(seed=-1)  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
train(seed='a')  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 'a'
train(on_nonfinite='x')  =>  ValueError: on_nonfinite must be one of raise, skip; got 'x'
train(start_step=0)  =>  ValueError: start_step must be a whole number of at least 1; got 0
train(start_step='a')  =>  TypeError: start_step must be a whole number of at least 1; got 'a'
train(schedule=1)  =>  TypeError: schedule must be a function of the step, or None for the optimizer's lr; got 1
train(schedule=lambda s: -1)  =>  ValueError: schedule(1) must be a finite number of at least 0; got -1
train(schedule=lambda s: None)  =>  TypeError: schedule(1) must be a finite number of at least 0; got None
train(schedule=lambda s: nan)  =>  ValueError: schedule(1) must be a finite number of at least 0; got nan
list(tg.train(M,None,B(),steps=1))  =>  TypeError: optimizer must have step and zero_grad and parameters; got NoneType
list(tg.train(None,tg.AdamW(M.parameters()),B(),steps=1))  =>  TypeError: model must have loss and parameters; got NoneType
list(tg.train(M,tg.AdamW(M.parameters()),None,steps=1))  =>  TypeError: batches must have batch; got NoneType
list(tg.train(M,tg.AdamW(tg.GPT(C).parameters()),B(),steps=1))  =>  ValueError: optimizer must hold parameters of the model that is trained; it holds none of them
""",
    "Tokenizers": r"""
tg.tokenizer('foo','')  =>  ValueError: tokenizer must be one of compact, gpt2, bytes, chars; got 'foo'
tg.tokenizer(None,'')  =>  ValueError: tokenizer must be one of compact, gpt2, bytes, chars; got None
tg.tokenizer('chars','')  =>  TextError: a character vocabulary needs a text of at least 1 character; got none
tg.tokenizer('compact',None)  =>  ValueError: text must be given: the tokenizer 'compact' takes its vocabulary from it
tg.tokenizer('chars',b'abc')  =>  TypeError: text must be a str; got bytes
tg.tokenizer('bytes',3)  =>  TypeError: text must be a str; got int
tok.encode(None)  =>  TypeError: text must be a str; got NoneType
tok.encode(3)  =>  TypeError: text must be a str; got int
tok.encode(b'abc')  =>  TypeError: text must be a str; got bytes
tok.decode([256])  =>  ValueError: ids must be from 0 to 255; got 256 at offset 0
tok.decode([-1])  =>  ValueError: ids must be from 0 to 255; got -1 at offset 0
tok.decode([1.5])  =>  TypeError: ids must be whole numbers; got float64
tok.decode('abc')  =>  TypeError: ids must be whole numbers; got <U3
tok.decode(None)  =>  TypeError: ids must be whole numbers; got object
tok.decode([['a']])  =>  TypeError: ids must be whole numbers; got <U1
tg.tokenizer('chars','abc').encode('xyz')  =>  TextError: character 'x' (U+0078) at position 0 is not among the 3 characters of the vocabulary
tg.tokenizer('gpt2').decode([50257])  =>  ValueError: ids must be from 0 to 50256; got 50257 at offset 0
tok.encode('\ud800')  =>  TextError: text is not valid Unicode: lone surrogate U+D800 at character 0
""",
    "Texts": r"""
tg.read_texts([])  =>  TextError: no text: no file was named
tg.read_texts(tmp/'a.txt',encoding='foo')  =>  ValueError: encoding must be one that Python knows, such as utf-8; got 'foo'
tg.read_texts(tmp/'a.txt',errors='foo')  =>  ValueError: errors must be one of strict, replace, ignore, backslashreplace; got 'foo'
tg.read_texts(tmp/'a.txt',encoding=None)  =>  TypeError: ...
tg.read_texts(tmp/'a.txt',encoding='base64')  =>  ValueError: encoding must be one that Python knows, such as utf-8; got 'base64'
""",
    "Checkpoints": r"""
tg.load_checkpoint(tmp/'a.txt',device='tpu')  =>  ValueError: device must be one of cpu, cuda, auto; got 'tpu'
tg.save_checkpoint(tmp/'x',None)  =>  TypeError: model must have parameters and config; got NoneType
tg.save_checkpoint(tmp/'x',M,step=-1)  =>  ValueError: step must be a whole number of at least 0; got -1
tg.save_checkpoint(tmp/'x',M,step=1.5)  =>  ValueError: step must be a whole number of at least 0; got 1.5
tg.save_checkpoint(tmp/'x',M,step='a')  =>  ValueError: step must be a whole number of at least 0; got 'a'
tg.save_checkpoint(tmp/'x',M,metadata={1:2})  =>  TypeError: metadata must be strings; got 1: 2
tg.save_checkpoint(tmp/'x',M,metadata={'step':'3'})  =>  ValueError: metadata may not be named file_sha256, format, config, step, environment, optimizer_steps; got 'step'
tg.save_checkpoint(tmp/'x',M,metadata='a')  =>  TypeError: metadata must be a dict of strings to strings; got str
tg.save_checkpoint(tmp/'x',M,'opt')  =>  TypeError: optimizer must have steps and state_names; got str
tg.Checkpoints(tmp/'c',keep=0)  =>  ValueError: keep must be a whole number of at least 1; got 0
tg.Checkpoints(tmp/'c',keep='a')  =>  TypeError: keep must be a whole number of at least 1; got 'a'
""",
    "Threads, precision, dropout": r"""
tg.set_num_threads(0)  =>  ValueError: threads must be a whole number of at least 1; got 0
tg.set_num_threads(-1)  =>  ValueError: threads must be a whole number of at least 1; got -1
tg.set_num_threads('a')  =>  TypeError: threads must be a whole number of at least 1; got 'a'
tg.set_num_threads(1.5)  =>  TypeError: threads must be a whole number of at least 1; got 1.5
tg.set_num_threads(None)  =>  TypeError: threads must be a whole number of at least 1; got None
tg.precision('fp8').__enter__()  =>  ValueError: precision must be one of float32, tf32, bfloat16; got 'fp8'
tg.precision(None).__enter__()  =>  ValueError: precision must be one of float32, tf32, bfloat16; got None
tg.Dropout(-1,0).mask(0,(2,2),.1,'f')  =>  ValueError: seed must be from 0 to 2**64 - 1; got -1
tg.Dropout(0,0).mask(0,(2,2),1.5,'f')  =>  ValueError: rate must be at least 0 and below 1; got 1.5
tg.Dropout(0,0).mask(0,(2,2),nan,'f')  =>  ValueError: rate must be at least 0 and below 1; got nan
tg.Dropout('a',0).mask(0,(2,2),.1,'f')  =>  TypeError: seed must be a whole number from 0 to 2**64 - 1; got 'a'
""",
}
ROWS = [tuple(line.split("  =>  ")) for lines in WRONG.values() for line in lines.strip().splitlines()]


@pytest.mark.parametrize(("call", "told"), ROWS, ids=[call for call, _ in ROWS])
def test_it_is_told_in_one_line(names, call, told):
    with pytest.raises((TypeError, ValueError, IndexError, FloatingPointError)) as caught:
        eval(call, names)
    line = f"{type(caught.value).__name__}: {caught.value}"
    assert "\n" not in line
    assert line.startswith(told.removesuffix("...")) if told.endswith("...") else line == told
